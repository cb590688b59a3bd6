"""What every representation kind must do. A new kind inherits these tests by existing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure

from campaigns.kinds import build_kind
from campaigns.records import FailureCode
from campaigns.spec import KindSpec
from generative.protocols import EncodeFailure, Representation

ROLE = "representation"

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(3.82, 6.26), ["Zn", "S"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.3748]]
)
TRICLINIC = Structure(
    Lattice.from_parameters(4.2, 5.1, 6.6, 81, 77, 69),
    ["Cu", "O", "S"],
    [[0, 0, 0], [0.43, 0.31, 0.22], [0.71, 0.62, 0.57]],
)
CRYSTALS = [ROCK_SALT, WURTZITE, TRICLINIC]

CUBE = Lattice.cubic(4)
UNUSABLE = {
    "disordered": Structure(CUBE, [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3]),
    "dummy": Structure(CUBE, ["X"], [[0, 0, 0]]),
    "empty": Structure(CUBE, [], []),
    "no number": Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [np.nan, 0.5, 0.5]]),
}


def _build(kind: str) -> Representation:
    return build_kind(ROLE, KindSpec(kind=kind), None, ROLE)


def _matches(x: Structure, y: object) -> bool:
    return (
        isinstance(y, Structure)
        and StructureMatcher().fit(x, y)
        and abs(y.volume / len(y) / (x.volume / len(x)) - 1) < 1e-3
    )


def _described_otherwise(x: Structure) -> dict[str, Structure]:
    """The same crystal with its sites in another order, from another origin, in a larger cell, mirrored, charged."""
    shifted, doubled, charged = x.copy(), x.copy(), x.copy()
    shifted.translate_sites(list(range(len(x))), [0.13, 0.29, 0.41])
    doubled.make_supercell([2, 1, 1])
    charged.add_oxidation_state_by_element({element.symbol: 0 for element in x.composition.elements})
    mirrored = Structure(x.lattice.matrix * [1, 1, -1], x.species, x.frac_coords)
    reordered = Structure.from_sites(list(reversed(x)))
    return {"reordered": reordered, "shifted": shifted, "doubled": doubled, "mirrored": mirrored, "charged": charged}


def test_crystals_survive(kind):
    representation = _build(kind)
    back = representation.reconstruct(representation.featurize(CRYSTALS))
    assert all(_matches(x, y) for x, y in zip(CRYSTALS, back, strict=True))


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda x: x.composition.reduced_formula)
def test_a_crystal_survives_however_it_is_described(kind, crystal):
    representation = _build(kind)
    descriptions = _described_otherwise(crystal)
    back = representation.reconstruct(representation.featurize(list(descriptions.values())))
    assert [name for name, y in zip(descriptions, back, strict=True) if not _matches(crystal, y)] == []


def test_length_and_order_are_kept_around_failures(kind):
    representation = _build(kind)
    codes = representation.featurize([UNUSABLE["disordered"], ROCK_SALT, UNUSABLE["dummy"], WURTZITE])
    assert [isinstance(code, EncodeFailure) for code in codes] == [True, False, True, False]
    back = representation.reconstruct([codes[3], codes[1], codes[3]])
    assert [_matches(x, y) for x, y in zip([WURTZITE, ROCK_SALT, WURTZITE], back, strict=True)] == [True] * 3


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_failures_have_a_code_and_a_message(kind, unusable):
    (failure,) = _build(kind).featurize([UNUSABLE[unusable]])
    assert isinstance(failure, EncodeFailure)
    assert failure.code in (FailureCode.ENCODE_UNSUPPORTED, FailureCode.ENCODE_NO_SYMMETRY)
    assert failure.message


def test_the_same_crystal_gives_the_same_answer(kind, disturb):
    answers = []
    for number in (1, 2):
        disturb(number)
        representation = _build(kind)
        answers.append(representation.reconstruct(representation.featurize(CRYSTALS)))
    assert answers[0] == answers[1]


def test_what_comes_back_is_a_plain_crystal(kind):
    representation = _build(kind)
    for crystal in representation.reconstruct(representation.featurize(CRYSTALS)):
        assert crystal.is_ordered
        assert all(isinstance(each, Element) for each in crystal.species)
        assert not crystal.site_properties
        for numbers in (crystal.lattice.matrix, crystal.frac_coords):
            assert numbers.dtype == np.float64
            assert np.isfinite(numbers).all()
        assert crystal.volume > 0


def test_codes_travel_between_processes(kind):
    codes = _build(kind).featurize(CRYSTALS)
    received = pickle.loads(pickle.dumps(codes))
    assert _build(kind).reconstruct(received) == _build(kind).reconstruct(codes)


def test_inputs_are_left_alone(kind):
    given = [x.copy() for x in CRYSTALS]
    _build(kind).featurize(given)
    assert given == CRYSTALS
    assert all(x.lattice == y.lattice for x, y in zip(given, CRYSTALS, strict=True))


def test_nothing_in_nothing_out(kind):
    representation = _build(kind)
    assert representation.featurize([]) == []
    assert representation.reconstruct([]) == []
