"""What every representation kind must do. A new kind inherits these tests by existing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

import generative.representations
from campaigns.kinds import available_kinds, build_kind
from campaigns.records import FailureCode
from campaigns.spec import KindSpec
from generative.protocols import DecodeFailure, EncodeFailure, Representation

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
DISORDERED = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])
DUMMY = Structure(Lattice.cubic(4), ["X"], [[0, 0, 0]])

each_kind = pytest.mark.parametrize("kind", available_kinds("representation"))


def _build(kind: str) -> Representation:
    return build_kind("representation", KindSpec(kind=kind), None, "representation")


def _matches(x: Structure, y: object) -> bool:
    return (
        isinstance(y, Structure)
        and StructureMatcher().fit(x, y)
        and abs(y.volume / len(y) / (x.volume / len(x)) - 1) < 1e-3
    )


@each_kind
def test_crystals_survive(kind):
    representation = _build(kind)
    back = representation.reconstruct(representation.featurize(CRYSTALS))
    assert all(_matches(x, y) for x, y in zip(CRYSTALS, back, strict=True))


@each_kind
def test_length_and_order_are_kept_around_failures(kind):
    representation = _build(kind)
    codes = representation.featurize([DISORDERED, ROCK_SALT, DUMMY, WURTZITE])
    assert [isinstance(code, EncodeFailure) for code in codes] == [True, False, True, False]
    back = representation.reconstruct([codes[3], codes[1]])
    assert _matches(WURTZITE, back[0])
    assert _matches(ROCK_SALT, back[1])


@each_kind
def test_failures_have_a_code_and_a_message(kind):
    for failure in _build(kind).featurize([DISORDERED, DUMMY]):
        assert isinstance(failure, EncodeFailure)
        assert failure.code in (FailureCode.ENCODE_UNSUPPORTED, FailureCode.ENCODE_NO_SYMMETRY)
        assert failure.message


@each_kind
def test_the_same_crystal_gives_the_same_answer(kind):
    representation = _build(kind)
    first, again = (representation.reconstruct(representation.featurize(CRYSTALS)) for _ in range(2))
    assert first == again
    assert not any(isinstance(x, DecodeFailure) for x in first)


@each_kind
def test_nothing_in_nothing_out(kind):
    representation = _build(kind)
    assert representation.featurize([]) == []
    assert representation.reconstruct([]) == []


TOY = """
from pydantic import Field
from campaigns.records import FailureCode
from campaigns.spec import Strict
from generative.protocols import EncodeFailure


class Params(Strict):
    digits: int = Field(8, ge=1)


def build(params, context=None):
    return Cells(params)


class Cells:
    def __init__(self, params):
        self.params = params

    def featurize(self, xs):
        bad = EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "disordered")
        return [x.as_dict() if x.is_ordered else bad for x in xs]

    def reconstruct(self, codes):
        from pymatgen.core import Structure
        return [Structure.from_dict(code) for code in codes]
"""


def test_a_new_kind_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "toy_cells.py").write_text(TOY)
    monkeypatch.setattr(generative.representations, "__path__", [*generative.representations.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "generative.representations.toy_cells", raising=False)
    assert "toy_cells" in available_kinds("representation")
    built = build_kind("representation", KindSpec(kind="toy_cells", digits=3), None, "representation")
    assert built.params.digits == 3
    assert built.reconstruct(built.featurize([ROCK_SALT])) == [ROCK_SALT]
