"""What a generator is trained on and judged by: a set's labels and split, and what is wrong with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campaigns.errors import UserError
from campaigns.records import FailureCode
from campaigns.spreadsheets import as_cell
from generative.datasets import Codes, Encoded
from generative.loading import CrystalSet
from generative.symmetry import space_group
from generative.training_settings import TrainingSettings

KNOWN_LABELS = {"formation_energy_per_atom": "formation_energy_ev_atom"}  # column -> property, taken where present
PROPERTY_NAME = re.compile(r"[a-z][a-z0-9_]*")
FEWEST = 10  # crystals; fewer are no set to learn from
SMALL = 200
FEWEST_FORMULAS = 20  # fewer cannot be split by formula
ONE_KIND = 0.95  # share above which a set counts as one prototype or one space group


@dataclass(frozen=True)
class Labels:
    """`values [N, p]` of the properties `names`, one row per row of the set, NaN where unknown."""

    names: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class TrainingSet:
    """Codes to train on and codes held out, the labels of each `[n, p]`, every row that is in neither, how the set was
    split, in words, and the codes that decide when to stop (None where there are too few to spare any)."""

    train: Codes
    held: Codes
    train_labels: NDArray[np.float64]
    held_labels: NDArray[np.float64]
    property_names: tuple[str, ...]
    refused: pd.DataFrame
    split: str
    watched: Codes | None


def read_labels(crystals: CrystalSet, given: Sequence[str] = ()) -> Labels:
    """Labels named as COLUMN=PROPERTY, or those known by their column's name where none is named.

    Raises UserError for a text of another form, a column that is missing and one without two different numbers.
    """
    chosen = dict(_pair(text) for text in given)
    if not given:
        chosen = {column: name for column, name in KNOWN_LABELS.items() if column in crystals.columns}
    values = [crystals.numbers(column) for column in chosen]
    return Labels(tuple(chosen.values()), np.stack(values, axis=1) if values else np.empty((len(crystals), 0)))


def _pair(text: str) -> tuple[str, str]:
    column, _, name = text.rpartition("=")
    if not column or not PROPERTY_NAME.fullmatch(name):
        example = "formation_energy_per_atom=formation_energy_ev_atom"
        raise UserError(f"--label {text!r}: is no COLUMN=PROPERTY.", f"Write one like {example}, the unit in the name.")
    return column, name


def divide(
    crystals: CrystalSet, encoded: Encoded, labels: Labels, refused: pd.DataFrame, settings: TrainingSettings
) -> TrainingSet:
    """Split what was encoded. Raises UserError where fewer than ten crystals are left, or none is held out."""
    held, split = held_out_rows(encoded, settings)
    codes = encoded.codes.take(encoded.codes.n_atoms() <= settings.max_atoms)
    out = held[codes.row]
    if len(codes) < FEWEST or out.all() or not out.any():
        why = f"{len(codes)} usable crystals, {int(out.sum())} of them held out, {len(refused)} refused"
        raise UserError(f"{crystals.source}: {why}.", f"Give at least {FEWEST} usable ones, better {SMALL} and more.")
    train, kept = codes.take(~out), codes.take(out)
    watched = None
    if len(train) >= SMALL and settings.watched:
        formulas = pd.Series(encoded.formulas).iloc[train.row]
        aside, _, _ = set_aside(formulas, settings.watched, settings.seed + 1)
        if aside.any():
            train, watched = train.take(~aside), train.take(aside)
            split += f"; {len(watched)} of the rest, chosen likewise, decide when to stop"
    values = labels.values
    return TrainingSet(train, kept, values[train.row], values[kept.row], labels.names, refused, split, watched)


def refused_rows(crystals: CrystalSet, encoded: Encoded, most_atoms: int) -> pd.DataFrame:
    """Every row that is not used, in order, with its name, code and reason."""
    codes = encoded.codes
    large = codes.take(codes.n_atoms() > most_atoms)
    rows = {
        "row": large.row,
        "name": [crystals.names[row] for row in large.row],
        "code": FailureCode.ENCODE_UNSUPPORTED.value,
        "reason": [f"{n} atoms in the primitive cell exceed {most_atoms}" for n in large.n_atoms()],
    }
    parts = [part for part in (encoded.refused, pd.DataFrame(rows)) if len(part)]
    found = pd.concat(parts).sort_values("row", ignore_index=True) if parts else encoded.refused
    return found.map(as_cell)


def held_out_rows(encoded: Encoded, settings: TrainingSettings) -> tuple[NDArray[np.bool_], str]:
    """True for the held-out rows `[N]`, and the rule in words."""
    formulas = pd.Series(encoded.formulas)
    known = formulas[formulas != ""]
    held, what, how = set_aside(known, settings.held_out, settings.seed)
    rows = np.zeros(len(formulas), dtype=bool)
    rows[known.index] = held
    return rows, f"{settings.held_out:.0%} of {what} held out{how}, seed {settings.seed}"


def set_aside(formulas: pd.Series, share: float, seed: int) -> tuple[NDArray[np.bool_], str, str]:
    """True for those set aside `[n]`; in words, of what they are a share, and how they were chosen.

    Reduced formulas are, none on both sides; crystals where there are fewer than 20 formulas (carbon, say).
    """
    if (n := formulas.nunique()) >= FEWEST_FORMULAS:
        return split_by_formula(formulas, share, seed), "reduced formulas", ", none on both sides"
    chosen = np.random.default_rng(seed).choice(len(formulas), size=round(share * len(formulas)), replace=False)
    why = f" at random, because they have only {n} reduced formula(s)"
    return np.isin(np.arange(len(formulas)), chosen), "crystals", why


def split_by_formula(formulas: pd.Series, fraction: float, seed: int) -> NDArray[np.bool_]:
    """True where held out; a formula is never on both sides."""
    unique = np.array(sorted(formulas.unique()))
    chosen = np.random.default_rng(seed).choice(unique, size=round(fraction * len(unique)), replace=False)
    return formulas.isin(set(chosen)).to_numpy()


def shortcomings(codes: Codes) -> list[str]:
    """What a person should know before trusting a generator trained on these: few crystals, or all of one kind."""
    found = []
    if len(codes) < SMALL:
        found.append(f"only {len(codes)} crystals to train on: fewer than {SMALL} teach a generator little")
    kinds = {
        "prototype": Counter(_prototype(codes, i) for i in range(len(codes))),
        "space group": Counter(str(number) for number in codes.space_group),
    }
    for kind, counts in kinds.items():
        most, n = counts.most_common(1)[0]
        if n >= ONE_KIND * len(codes):
            found.append(f"{n} of {len(codes)} crystals are of one {kind}, {most}: the generator will know little else")
    return found


def _prototype(codes: Codes, i: int) -> str:
    """Space group and occupied positions, elements as letters in the order they appear, like `221: 1a-A 1b-B 3c-C`."""
    code = codes.code(i)
    places = space_group(code.space_group).positions
    letters: dict[int, str] = {}
    words = []
    for position, number in zip(code.positions, code.elements, strict=True):
        letter = letters.setdefault(int(number), chr(ord("A") + len(letters)))
        words.append(f"{places[position].multiplicity}{places[position].letter}-{letter}")
    return f"{code.space_group}: {' '.join(words)}"


def counted_reasons(refused: pd.DataFrame) -> dict[str, int]:
    """Reason, without what is its row's own -> rows refused for it, the commonest first."""
    plain = refused["reason"].str.split(":").str[0].str.replace(r"^\d+", "N", regex=True)
    return {str(reason): int(n) for reason, n in plain.value_counts().items()}
