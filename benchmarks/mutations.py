"""Ways in which a file comes to be wrong: typing errors, spreadsheets, cut-off transfers, and malice.

Every function takes a `random.Random` and the content, and returns another content; the same seed gives the same.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import yaml

Mutation = Callable[[random.Random, bytes], bytes]

NUMBERS = (
    *("0", "-1", "1", "-0.0", "1e999", "-1e999", "nan", "NaN", "inf", "-.inf", ".nan", "1e-320", "1e308", "0x10"),
    *("1_000", "1,5", "1:30", "9" * 30, "9" * 5000, "2147483648", "1e9", "0.1.2", "--1", "+", "½", "٣", "1/3", "010"),
)
WORDS = (
    *("", " ", "~", "null", "true", "No", "off", "<<", "=1+1", "@SUM(A1)", "../../etc/passwd", "/dev/null"),
    *("a" * 3000, "\u202e", "\u200b", "\x00", "\x1b[2J", "é", "{}", "[]", "{{x}}", "!!python/object:os.system x"),
    *("*a", "&a", "'", '"', "\\", "$(touch x)", "`touch x`", "; touch x", "<script>alert(1)</script>", "%s%n", "Xx"),
    *("D", "T", "/dev/zero", "Fe0+", "O2-", "Na0Cl", "Fe1e9", "((((", "NaCl)2", "Mg.5", "H99999999999"),
)
LINE_ENDS = (b"\n", b"\r\n", b"\r", b"\n\n", b"", b"\t")
NUMBER = re.compile(rb"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")
MOST_PLACES = 2000  # aliases of aliases have no end
WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*")


def bytes_changed(rng: random.Random, content: bytes) -> bytes:
    """A few bytes differ, as after a bad transfer."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if found:
            found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def cut_off(rng: random.Random, content: bytes) -> bytes:
    """The end is missing, or the beginning."""
    place = rng.randrange(len(content) + 1)
    return content[:place] if rng.random() < 0.7 else content[place:]


def lines_moved(rng: random.Random, content: bytes) -> bytes:
    """A line is missing, there twice, in another place, or indented differently."""
    lines = content.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        here, there = rng.randrange(len(lines)), rng.randrange(len(lines))
        deed = rng.randrange(5)
        if deed == 0 and len(lines) > 1:
            del lines[here]
        elif deed == 1:
            lines.insert(there, lines[here])
        elif deed == 2:
            lines[here], lines[there] = lines[there], lines[here]
        elif deed == 3:
            lines[here] = rng.choice((b" ", b"  ", b"\t", b"- ", b"#")) + lines[here]
        else:
            lines[here] = lines[here].lstrip()
    return b"\n".join(lines)


def number_changed(rng: random.Random, content: bytes) -> bytes:
    """A number is another one, or none."""
    return _replaced(rng, content, NUMBER, NUMBERS)


def word_changed(rng: random.Random, content: bytes) -> bytes:
    """A word is another one of the file, misspelt, or something that nobody expects there."""
    found = [match.group().decode("ascii") for match in WORD.finditer(content)]
    if not found:
        return content
    word = rng.choice(found)
    place = rng.randrange(len(word) + 1)
    misspelt = (word[:place] + word[place + 1 :], word.upper(), word.lower(), f"{word}s", rng.choice(found))
    return _replaced(rng, content, WORD, misspelt if rng.random() < 0.5 else WORDS)


def _replaced(rng: random.Random, content: bytes, pattern: re.Pattern[bytes], others: tuple[str, ...]) -> bytes:
    if not (found := list(pattern.finditer(content))):
        return content
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(others).encode("utf-8") + content[match.end() :]


def saved_otherwise(rng: random.Random, content: bytes) -> bytes:
    """Another encoding, other line ends, a byte-order mark, zero bytes in front or behind."""
    text = content.decode("utf-8", "replace")
    ways = (
        lambda: text.encode("utf-16"),
        lambda: text.encode("latin-1", "replace"),
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.replace(b"\n", rng.choice(LINE_ENDS)),
        lambda: bytes(64) + content,
        lambda: content + bytes(64),
        lambda: b"",
        lambda: content * 2,
        lambda: b"\x1f\x8b" + content,
        lambda: b"PK\x03\x04" + content,
        lambda: bytes(rng.randrange(256) for _ in range(200)),
    )
    return rng.choice(ways)()


def deeper(rng: random.Random, content: bytes) -> bytes:
    """Brackets without end, aliases of aliases."""
    n = rng.choice((2, 20, 200, 5000))
    opening, closing = rng.choice((("[", "]"), ("{a: ", "}"), ("(", ")"), ("- ", "")))
    below = [", ".join([f"*b{level}"] * 9) for level in range(9)]
    bomb = "b0: &b0 [x]\n" + "".join(f"b{n + 1}: &b{n + 1} [{each}]\n" for n, each in enumerate(below))
    inserted = rng.choice((opening * n + closing * n, bomb)).encode()
    place = rng.choice([0, *(match.end() for match in re.finditer(rb"[:\n] ?", content)), len(content)])
    return content[:place] + inserted + content[place:]


def tree_changed(rng: random.Random, content: bytes) -> bytes:
    """Still YAML: a value goes, stands for another, becomes a list or a mapping, or a key is another's."""
    try:
        tree = yaml.safe_load(content)
        yaml.safe_dump(tree)
    except (yaml.YAMLError, ValueError, RecursionError):
        return content
    for _ in range(rng.choice((1, 1, 2, 3))):
        tree = _branch_changed(rng, tree)
    return yaml.safe_dump(tree, sort_keys=False).encode()


def _branch_changed(rng: random.Random, tree: Any) -> Any:
    places = list(islice(_places(tree), MOST_PLACES))
    if not places:
        return tree
    holder, key = rng.choice(places)
    other_holder, other_key = rng.choice(places)
    value, deed = holder[key], rng.randrange(9)
    if deed == 0:
        del holder[key]
    elif deed == 1 and isinstance(holder, dict):
        holder[str(other_key)] = holder.pop(key)
    elif deed == 2:
        holder[key] = _plain(other_holder[other_key])
    else:
        nested: tuple[Any, ...] = (None, [], {}, [value], {str(key): value}, [1, 2, 3])
        plain = (True, -1, 0, 1.5, 1e308, float("nan"), 10**40, "x")
        odd: tuple[Any, ...] = (*nested, *plain)
        number = (value * 2, -value, value + 0.5, value * 10**9) if isinstance(value, int | float) else odd
        holder[key] = _plain(rng.choice((*odd, *number) if deed < 6 else number))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


def _plain(value: Any) -> Any:
    """A copy, so that no branch stands in two places."""
    return yaml.safe_load(yaml.safe_dump(value)) if isinstance(value, dict | list) else value


def cells_changed(rng: random.Random, content: bytes) -> bytes:
    """Still a CSV: rows twice, missing cells, another order, ten columns too many, another unit in the header."""
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"))))
    except (csv.Error, UnicodeDecodeError):
        return content
    if not rows or not rows[0]:
        return content
    for _ in range(rng.choice((1, 1, 2, 3))):
        _table_changed(rng, rows)
    text = io.StringIO()
    separator = rng.choice((",", ",", ",", ",", ";", "\t", "|"))
    csv.writer(text, delimiter=separator, lineterminator=rng.choice(("\n", "\r\n"))).writerows(rows)
    return text.getvalue().encode("utf-8")


def _table_changed(rng: random.Random, rows: list[list[str]]) -> None:
    row = rng.choice(rows)
    column = rng.randrange(max(len(rows[0]), 1))
    deed = rng.randrange(10)
    if deed == 0:
        rows.insert(rng.randrange(len(rows) + 1), list(row))
    elif deed == 1 and len(rows) > 1:
        rows.remove(row)
    elif deed == 2 and column < len(row):
        row[column] = rng.choice((*NUMBERS, *WORDS))
    elif deed == 3:
        for n, each in enumerate(rows):
            each += [f"extra {i}" if n == 0 else str(i) for i in range(10)]
    elif deed == 4:
        for each in rows:
            del each[column : column + 1]
    elif deed == 5:
        del row[rng.randrange(len(row) + 1) :]
    elif deed == 6 and rows[0]:
        place = rng.randrange(len(rows[0]))
        rows[0][place] = re.sub(r"\[.*\]", "[meV]", rows[0][place]) if rng.random() < 0.5 else rng.choice(WORDS)
    elif deed == 7:
        rng.shuffle(rows)
    elif deed == 8 and column < len(row):
        for each in rows[1:]:
            if column < len(each):
                each[column] = rng.choice(("", each[column], row[column]))
    else:
        row += [rng.choice(NUMBERS)] * rng.choice((1, 10))


ANY: tuple[Mutation, ...] = (bytes_changed, cut_off, lines_moved, number_changed, word_changed, saved_otherwise)
OF_YAML: tuple[Mutation, ...] = (*ANY, deeper, *[tree_changed] * 8)
OF_TABLES: tuple[Mutation, ...] = (*ANY, cells_changed, cells_changed, cells_changed)
OF_CRYSTALS: tuple[Mutation, ...] = (*ANY, number_changed, lines_moved, word_changed)


def mutated(rng: random.Random, content: bytes, ways: tuple[Mutation, ...]) -> bytes:
    """One to three of these ways, one after the other."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(ways)(rng, content)
    return content
