"""Relaxed together, every crystal goes the way it goes alone in ASE's loop, whatever happens beside it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode
from optimizer.batched_relaxation import relax_together
from optimizer.calculators import CalculatorParams, potential
from optimizer.chgnet_batch import BatchedCHGNet
from optimizer.relaxation import RelaxationLimits, Relaxed, relax

LIMITS = RelaxationLimits()


def fcc(edge: float, *symbols: str) -> Structure:
    """The primitive cell: one atom, or rock salt."""
    side = edge / 2**0.5
    return Structure(
        Lattice.from_parameters(side, side, side, 60, 60, 60), symbols, [[0, 0, 0], [0.5] * 3][: len(symbols)]
    )


def rock_salt(edge: float = 4.4) -> Structure:
    return fcc(edge, "Mg", "O")


def copper(edge: float = 3.7) -> Structure:
    return fcc(edge, "Cu")


def small_crystals() -> list[Structure]:
    """With and without symmetry, of one to six atoms, squeezed and stretched."""
    u = 0.3
    oxygen = [[u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    rutile = Structure(Lattice.tetragonal(4.7, 3.1), ["Ti"] * 2 + ["O"] * 4, [[0, 0, 0], [0.5] * 3, *oxygen])
    skewed = Structure(Lattice.from_parameters(3.2, 3.3, 3.1, 62, 59, 61), ["Li", "Cl"], [[0, 0, 0], [0.48, 0.52, 0.5]])
    wurtzite = Structure(
        Lattice.hexagonal(3.0, 5.2),
        ["Al", "Al", "N", "N"],
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.39], [2 / 3, 1 / 3, 0.89]],
    )
    return [rock_salt(), rutile, copper(3.5), skewed, wurtzite]


@pytest.fixture(scope="module")
def calculator():
    return potential(CalculatorParams(), "cpu").calculator


@pytest.fixture(scope="module")
def model(calculator) -> BatchedCHGNet:
    return calculator.batched


def together(crystals, model, limits=LIMITS, at_once=3):
    return dict(relax_together(crystals, model, limits, together=at_once))


@pytest.mark.parametrize("keep_symmetry", [True, False])
def test_the_same_crystals_energies_and_steps_as_the_loop_of_ase(keep_symmetry, model, calculator):
    limits = replace(LIMITS, keep_symmetry=keep_symmetry)
    crystals = small_crystals()
    found = together(crystals, model, limits, at_once=3)  # fewer than there are: places are filled again
    assert sorted(found) == [0, 1, 2, 3, 4]
    for index, crystal in enumerate(crystals):
        alone, here = relax(crystal, calculator, limits), found[index]
        assert isinstance(alone, Relaxed)
        assert isinstance(here, Relaxed)
        assert here.energy_ev_atom == pytest.approx(alone.energy_ev_atom, abs=2e-3)
        assert here.crystal.volume == pytest.approx(alone.crystal.volume, rel=0.01)
        assert StructureMatcher().fit(here.crystal, alone.crystal)
        assert abs(here.steps - alone.steps) <= 1
        assert here.fmax_ev_per_ang < limits.fmax_ev_per_ang
        assert here.max_stress_gpa < limits.max_stress_gpa
        assert here.volume_ratio == pytest.approx(alone.volume_ratio, rel=0.01)
        assert here.crystal.site_properties == {}


def test_what_cannot_begin_fails_alone_with_the_code_of_the_loop(model, calculator):
    lonely = Structure(Lattice.cubic(14), ["Cu"], [[0, 0, 0]])
    impossible = {
        FailureCode.COLLAPSED: Structure(Lattice.cubic(5), ["Cu", "Cu"], [[0, 0, 0], [0.05, 0, 0]]),
        FailureCode.ISOLATED_ATOM: lonely,
        FailureCode.CALCULATOR_ERROR: Structure(Lattice.cubic(3), ["Lr"], [[0, 0, 0]]),
        FailureCode.EXPLODED: Structure(Lattice.cubic(4), ["Cu", "Cu"], [[0, 0, 0], [np.nan, 0.5, 0.5]]),
    }
    found = together([*impossible.values(), rock_salt()], model)
    for index, (code, crystal) in enumerate(impossible.items()):
        alone = relax(crystal, calculator, LIMITS)
        assert isinstance(alone, Failed)
        assert isinstance(found[index], Failed)
        assert (found[index].code, alone.code) == (code, code)
        assert found[index].message
    assert isinstance(found[4], Relaxed)


def test_what_is_no_crystal_is_an_outcome_too(model):
    cube = Lattice.cubic(4)
    strange = [
        Structure(cube, [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]]),
        Structure(cube, ["X"], [[0, 0, 0]]),
        Structure(cube, [], []),
    ]
    found = together([*strange, copper()], model)
    assert all(isinstance(found[index], Failed) for index in range(3))
    assert isinstance(found[3], Relaxed)
    assert together([], model) == {}


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_steps": 1}, FailureCode.UNCONVERGED), ({"max_seconds": 0.0}, FailureCode.TIMED_OUT)],
)
def test_limits_end_a_relaxation_as_in_the_loop(limits, code, model):
    found = together([rock_salt(4.7), copper(3.9)], model, replace(LIMITS, **limits))
    assert [found[index].code for index in (0, 1)] == [code, code]


class Disturbed(BatchedCHGNet):
    """Does something to every crystal that holds copper, and nothing to the others."""

    def __init__(self, model: BatchedCHGNet, what: str) -> None:
        super().__init__(model.model)
        self.what = what

    def predict(self, batch, bonds):
        predicted = super().predict(batch, bonds)
        rows = torch.zeros(len(batch.cells), dtype=torch.bool)
        rows[batch.owners[batch.numbers == 29]] = True
        if self.what == "raises" and rows.any():
            raise RuntimeError("out of memory")
        if self.what in ("blows up", "falls in"):
            sign = -1 if self.what == "blows up" else 1
            predicted.stresses[rows] = sign * torch.eye(3, dtype=torch.float64)
        if self.what == "is no number":
            predicted.energies[rows] = torch.nan
        return predicted


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("blows up", FailureCode.EXPLODED),
        ("falls in", FailureCode.COLLAPSED),
        ("is no number", FailureCode.CALCULATOR_ERROR),
        ("raises", FailureCode.CALCULATOR_ERROR),
    ],
)
def test_a_diverging_crystal_is_ejected_alone(what, code, model):
    crystals = [rock_salt(4.4), copper(), rock_salt(4.15)]
    undisturbed = together([crystals[0], crystals[2]], model)
    found = together(crystals, Disturbed(model, what))
    assert isinstance(found[1], Failed)
    assert found[1].code == code
    for here, there in ((found[0], undisturbed[0]), (found[2], undisturbed[1])):
        assert isinstance(here, Relaxed)
        assert here.steps == there.steps
        assert here.energy_ev_atom == pytest.approx(there.energy_ev_atom, abs=1e-6)
        assert here.crystal.volume == pytest.approx(there.crystal.volume, rel=1e-6)


def test_the_seconds_of_all_add_up_to_the_time_that_passed(model):
    crystals = [rock_salt(), copper(), copper(3.5)]
    started = time.monotonic()
    found = together(crystals, model)
    passed = time.monotonic() - started
    assert 0.8 * passed < sum(each.seconds for each in found.values()) <= passed
