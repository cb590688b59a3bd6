"""Words for names."""

from __future__ import annotations

import pytest
from report_ledgers import HOSTILE, spec

from campaigns.records import FailureCode
from campaigns.spec import parse_spec
from optimizer.report.wording import CODES, count, duration, number, title_of, unit_of
from optimizer.stated_units import stated_units


def test_every_failure_code_has_words():
    assert set(CODES) == set(FailureCode)


@pytest.mark.parametrize(
    ("name", "title", "unit"),
    [
        ("bulk_modulus_gpa", "bulk modulus", "GPa"),
        ("energy_above_hull_ev_atom", "energy above hull", "eV/atom"),
        ("density_g_cm3", "density", "g/cm³"),
        ("pugh_ratio", "pugh ratio", ""),
    ],
)
def test_the_unit_stands_at_the_end_of_a_name(name, title, unit):
    assert (title_of(name), unit_of(name, {})) == (title, unit)


def test_the_unit_that_the_file_names_wins():
    stated = stated_units(parse_spec(spec()))
    assert unit_of("gap_ev", stated) == HOSTILE


def test_a_property_without_unit_and_one_of_a_table_read_well():
    lookup = {"kind": "lookup", "path": "t.csv", "match": "formula", "key": "formula"}
    columns = {"gap_ev": {"unit": "eV", "column": "gap pbe"}, "packing_fraction": "1"}
    stated = stated_units(parse_spec(spec(oracles=[{**lookup, "properties": columns}])))
    assert [unit_of(name, stated) for name in columns] == ["eV", ""]


def test_numbers_and_times_are_written_as_people_write_them():
    assert [number(x) for x in (318.14, -0.11025, 0.0, 12345.6, 1.5e-7, None, float("nan"))] == [
        *("318.1", "−0.1103", "0", "12346", "1.5·10^-7".replace("-", "−"), "–", "–")
    ]
    assert [number(x, trailing=True) for x in (136.0, 0.899, 1000.0)] == ["136.0", "0.8990", "1000"]
    assert [duration(x) for x in (0, 0.021, 47.7, 547, 7200)] == ["0 s", "21 ms", "47.7 s", "9.12 min", "2 h"]
    assert (count(1, "crystal"), count(1200, "crystal")) == ("1 crystal", "1,200 crystals")
