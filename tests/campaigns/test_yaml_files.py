"""Only plain, unambiguous YAML is read."""

from __future__ import annotations

import pytest

from campaigns.errors import UserError
from campaigns.yaml_files import dump_yaml, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def read(tmp_path):
    def reading(content: str | bytes) -> dict:
        path = tmp_path / "campaign.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_yaml(path)

    return reading


def test_exponents_without_dot_or_sign_are_numbers(read):
    assert read("a: 1e-3\nb: 2e5\nc: 1.5E+3\nd: e3\ne: -4e2") == {
        "a": 0.001,
        "b": 200000.0,
        "c": 1500.0,
        "d": "e3",
        "e": -400.0,
    }


def test_words_and_numbers_are_what_people_write(read):
    text = "elements: [No, Y, N, O]\nrefine: off\nhours: 1:30\nseed: 010\nday: 2024-01-01\non: yes\nreal: true\nnone: ~"
    assert read(text) == {
        "elements": ["No", "Y", "N", "O"],
        "refine": "off",
        "hours": "1:30",
        "seed": 10,
        "day": "2024-01-01",
        "on": "yes",
        "real": True,
        "none": None,
    }


def test_what_is_dumped_is_read_back(read):
    data = {"a": ["1e3", "08", "1:30", "No", "off", "~", "", "<<", ".5", "1.", "é", "2024-01-01"], "b": [1e-5, 3, True]}
    assert read(dump_yaml(data)) == data


def test_anchors_and_merges_are_plain_values(read):
    assert read("base: &b {x: 1}\nmore: {<<: *b, y: 2}")["more"] == {"x": 1, "y": 2}


def test_a_byte_order_mark_is_no_fault(read):
    assert read(b"\xef\xbb\xbfname: a") == {"name": "a"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty. Start from a ready campaign"),
        ("# only a comment", "the file is empty"),
        ("- a\n- b", "holds a list, not keys and values"),
        ("a: [1", "campaign.yaml:1: not YAML"),
        ("a: 1\n\tb: 2", "campaign.yaml:2: not YAML"),
        ("a: 1\nb: *nowhere", "campaign.yaml:2: not YAML (found undefined alias 'nowhere')"),
        ("a: 1\nb: 2\na: 3", "campaign.yaml:3: the key 'a' stands here twice. Keep one of them."),
        ("a: 1\n3: 4", "campaign.yaml:2: the key '3' is no plain word. Put it in quotes"),
        ("a: 1\n~: 4", "campaign.yaml:2: the key '~' is no plain word"),
        ("a: {{ goal }}", "campaign.yaml:1: the key here is no plain word"),
        ("a: &a [*a]", "campaign.yaml:1: an alias stands for what it is part of"),
        ("a: &a {b: *a}", "campaign.yaml:1: an alias stands for what it is part of"),
        ("a: " + "[" * 40 + "]" * 40, "campaign.yaml:1: nested more than 30 levels deep"),
        ("a: " + "[" * 4000 + "]" * 4000, "campaign.yaml: nested too deeply to be read"),
        ("a: " + "9" * 5000, "campaign.yaml:1: '99999999999999999999' cannot be read as a number"),
        ("a: !!int ten", "campaign.yaml:1: 'ten' cannot be read as a number"),
        ("a: !!float ten", "a value does not fit its tag"),
        (BOMB, "holds more than 100,000 values with its aliases"),
        ("# " + "x" * 1_000_000, "is larger than 1,000,000 bytes"),
        ("a: !!python/name:os.system", "campaign.yaml:1: will not follow the tag"),
        ("a: \x00", "not YAML"),
        (b"a: \xff\xfe", "cannot be read"),
    ],
)
def test_what_is_not_a_plain_mapping_is_refused_in_one_line(read, content, message):
    with pytest.raises(UserError) as caught:
        read(content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path)
