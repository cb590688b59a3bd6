from __future__ import annotations

import logging

import numpy as np
import pytest
from prototypes import PROTOTYPES
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from campaigns.records import FailureCode
from generative.canonical import WyckoffCode
from generative.protocols import DecodeFailure, EncodeFailure
from generative.representations.wyckoff import (
    Params,
    WyckoffRepresentation,
    crystal_of,
    fingerprint,
    fingerprint_of,
)

ROCK_SALT = PROTOTYPES["rock salt"]


def _encode(x: Structure) -> WyckoffCode | EncodeFailure:
    return WyckoffRepresentation().featurize([x])[0]


@pytest.mark.parametrize("name", PROTOTYPES)
def test_crystals_survive_a_round_trip(name):
    x = PROTOTYPES[name]
    code = _encode(x)
    assert isinstance(code, WyckoffCode)
    back = crystal_of(code)
    assert isinstance(back, Structure)
    assert len(back) == code.n_atoms
    assert back.volume / len(back) == pytest.approx(x.volume / len(x), rel=1e-3)
    assert StructureMatcher().fit(x, back)


@pytest.mark.parametrize("name", PROTOTYPES)
def test_the_decoded_crystal_has_the_group_its_code_names(name):
    code = _encode(PROTOTYPES[name])
    assert fingerprint(crystal_of(code)) == fingerprint_of(code)


@pytest.mark.parametrize(
    ("crystal", "code", "word"),
    [
        (Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3]), "unsupported", "partial"),
        (Structure(Lattice.cubic(4), ["X", "Li"], [[0, 0, 0], [0.5] * 3]), "unsupported", "dummy"),
        (Structure(Lattice.cubic(4), ["Rf"], [[0, 0, 0]]), "unsupported", "104"),
        (Structure(Lattice.cubic(4), [], []), "unsupported", "no atoms"),
        (Structure(Lattice.cubic(4), ["Li", "Li"], [[0, 0, 0], [0, 0, 0]]), "no_symmetry", "consistent"),
        (Structure(Lattice([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), ["Li"], [[0, 0, 0]]), "unsupported", "no cell"),
        (Structure(Lattice.cubic(4), ["Li"], [[np.nan, 0, 0]]), "no_symmetry", "consistent"),
    ],
    ids=["partial occupancy", "dummy", "beyond the table", "empty", "coincident atoms", "flat cell", "nan"],
)
def test_what_cannot_be_encoded_is_a_value_with_a_reason(crystal, code, word):
    failure = _encode(crystal)
    assert isinstance(failure, EncodeFailure)
    assert failure.code == f"encode_{code}"
    assert word in failure.message


def test_too_large_a_cell_is_refused():
    failure = WyckoffRepresentation(Params(max_atoms=1)).featurize([ROCK_SALT])[0]
    assert isinstance(failure, EncodeFailure)
    assert failure.code is FailureCode.ENCODE_UNSUPPORTED
    assert "2 atoms exceed 1" in failure.message


def test_failures_keep_their_place():
    bad = Structure(Lattice.cubic(4), ["X"], [[0, 0, 0]])
    codes = WyckoffRepresentation().featurize([ROCK_SALT, bad, PROTOTYPES["rutile"], bad])
    assert [type(c) for c in codes] == [WyckoffCode, EncodeFailure, WyckoffCode, EncodeFailure]
    assert [c.space_group for c in codes if isinstance(c, WyckoffCode)] == [225, 136]


def test_isotopes_and_oxidation_states_do_not_change_the_code():
    plain = fingerprint(Structure(Lattice.cubic(4), ["Li", "H"], [[0, 0, 0], [0.5] * 3]))
    assert fingerprint(Structure(Lattice.cubic(4), ["Li", "D"], [[0, 0, 0], [0.5] * 3])) == plain
    assert fingerprint(Structure(Lattice.cubic(4), ["Li+", "H-"], [[0, 0, 0], [0.5] * 3])) == plain


def test_fingerprint_reads_as_group_formula_positions():
    assert fingerprint(ROCK_SALT) == "225:ClNa:4a-Na,4b-Cl"
    assert fingerprint(PROTOTYPES["fluorite"]) == "225:CaF2:4a-Ca,8c-F"


def test_fingerprint_tells_polymorphs_apart():
    wurtzite, blende = fingerprint(PROTOTYPES["wurtzite, polar"]), fingerprint(PROTOTYPES["zinc blende"])
    assert wurtzite != blende
    assert str(wurtzite).split(":")[1] == str(blende).split(":")[1] == "SZn"


def test_fingerprint_of_a_bad_crystal_is_its_failure():
    assert isinstance(fingerprint(Structure(Lattice.cubic(4), ["X"], [[0, 0, 0]])), EncodeFailure)


def test_angles_that_close_no_cell_are_a_failure():
    lattice = np.array([4.0, 4.0, 4.0, 150.0, 30.0, 30.0])
    code = WyckoffCode(1, np.array([0]), np.array([3]), np.zeros((1, 3)), lattice)
    failure = crystal_of(code)
    assert isinstance(failure, DecodeFailure)
    assert failure.code is FailureCode.DECODE_INVALID


def test_a_looser_tolerance_finds_more_symmetry():
    x = PROTOTYPES["perovskite"].copy()
    x.translate_sites([1], [0, 0, 0.01], frac_coords=True)
    loose = WyckoffRepresentation(Params(symprec_ang=0.1)).featurize([x])[0]
    tight = WyckoffRepresentation(Params(symprec_ang=0.001)).featurize([x])[0]
    assert isinstance(loose, WyckoffCode)
    assert isinstance(tight, WyckoffCode)
    assert (loose.space_group, tight.space_group) == (221, 99)


def test_supercells_print_no_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert isinstance(_encode(ROCK_SALT.make_supercell([2, 1, 1], in_place=False)), WyckoffCode)
    assert not caplog.records


def test_a_cell_that_no_crystal_has_is_refused_before_its_symmetry_is_sought():
    needle = Structure(Lattice.from_parameters(49.6, 49.6, 0.25, 90, 90, 174.3), ["Na"] * 4, np.eye(4, 3) / 3)
    speck = Structure(Lattice.cubic(0.9), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    for x in (needle, speck):
        (answer,) = WyckoffRepresentation().featurize([x])
        assert isinstance(answer, EncodeFailure)
        assert answer.message.startswith("no cell of a crystal: ")
