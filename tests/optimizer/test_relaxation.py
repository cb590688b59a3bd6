"""Relaxation: physics with EMT, CHGNet once, and every way to fail."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode
from optimizer.calculators import CalculatorParams, potential
from optimizer.relaxation import (
    RelaxationLimits,
    Relaxed,
    relax,
    single_point_energy,
    to_atoms,
    to_structure,
)

EMT_COPPER_ANG = 3.59  # edge of the cubic cell where EMT's copper has its minimum


class Springs(Calculator):
    """Pushes every atom and the cell outwards for ever, or raises."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012, as ASE declares it

    def __init__(self, pressure: float = 0.5, error: Exception | None = None, energy: float = 0.0) -> None:
        super().__init__()
        self.pressure, self.error, self.energy = pressure, error, energy

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.error:
            raise self.error
        self.results = {
            "energy": self.energy,
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": np.array([-self.pressure] * 3 + [0.0] * 3),
        }


def _fcc(edge: float, symbol: str = "Cu") -> Structure:
    return Structure.from_spacegroup(225, Lattice.cubic(edge), [symbol], [[0, 0, 0]]).get_primitive_structure()


def test_copper_finds_its_lattice_constant_from_both_sides():
    for edge in (3.4, 3.9):
        relaxed = relax(_fcc(edge), EMT(), RelaxationLimits())
        assert isinstance(relaxed, Relaxed)
        assert (4 * relaxed.crystal.volume) ** (1 / 3) == pytest.approx(EMT_COPPER_ANG, abs=0.01)
        assert relaxed.max_stress_gpa <= 0.3
        assert relaxed.energy_ev_atom == pytest.approx(-0.007, abs=0.001)


def test_the_space_group_survives_unless_told_otherwise():
    displaced = Structure.from_spacegroup(221, Lattice.cubic(3.9), ["Au", "Cu"], [[0, 0, 0], [0.5, 0.5, 0]])
    relaxed = relax(displaced, EMT(), RelaxationLimits())
    assert isinstance(relaxed, Relaxed)
    assert relaxed.crystal.get_space_group_info(symprec=0.01)[1] == 221
    free = relax(displaced, EMT(), RelaxationLimits(keep_symmetry=False))
    assert isinstance(free, Relaxed)
    assert free.energy_ev_atom == pytest.approx(relaxed.energy_ev_atom, abs=1e-3)


def test_positions_move_as_well_as_the_cell():
    crystal = _fcc(3.6)
    crystal.make_supercell(2)
    for site, step in enumerate(np.random.default_rng(0).normal(0, 0.06, (len(crystal), 3))):
        crystal.translate_sites([site], step, frac_coords=False)
    relaxed = relax(crystal, EMT(), RelaxationLimits())
    assert isinstance(relaxed, Relaxed)
    assert relaxed.fmax_ev_per_ang <= 0.03
    assert StructureMatcher().fit(relaxed.crystal, _fcc(3.6))


def test_the_input_is_left_alone_and_the_output_has_no_site_properties():
    crystal = _fcc(3.7)
    crystal.add_site_property("magmom", [1.0])
    before = crystal.copy()
    relaxed = relax(crystal, EMT(), RelaxationLimits())
    assert isinstance(relaxed, Relaxed)
    assert crystal == before
    assert relaxed.crystal.site_properties == {}


@pytest.mark.parametrize(
    ("crystal", "calculator", "limits", "code"),
    [
        (_fcc(1.5), EMT(), RelaxationLimits(), FailureCode.COLLAPSED),
        (
            Structure(Lattice.cubic(5), ["Cu", "Cu"], [[0, 0, 0], [0.05, 0, 0]]),
            EMT(),
            RelaxationLimits(),
            FailureCode.COLLAPSED,
        ),
        (_fcc(3.6), Springs(pressure=-0.5), RelaxationLimits(), FailureCode.COLLAPSED),
        (_fcc(3.6), Springs(pressure=0.5), RelaxationLimits(), FailureCode.EXPLODED),
        (_fcc(14.0), EMT(), RelaxationLimits(), FailureCode.ISOLATED_ATOM),
        (_fcc(3.9), EMT(), RelaxationLimits(max_steps=1), FailureCode.UNCONVERGED),
        (_fcc(3.9), EMT(), RelaxationLimits(max_seconds=0.0), FailureCode.TIMED_OUT),
        (_fcc(4.0, "W"), EMT(), RelaxationLimits(), FailureCode.CALCULATOR_ERROR),
        (
            _fcc(3.6),
            Springs(energy=float("nan"), pressure=0),
            RelaxationLimits(),
            FailureCode.CALCULATOR_ERROR,
        ),
    ],
)
def test_every_failure_is_a_value_with_its_code(crystal, calculator, limits, code):
    outcome = relax(crystal, calculator, limits)
    assert isinstance(outcome, Failed)
    assert outcome.code == code
    assert outcome.message


def test_a_calculator_error_names_the_error():
    outcome = relax(_fcc(3.6), Springs(error=RuntimeError("no licence")), RelaxationLimits())
    assert isinstance(outcome, Failed)
    assert outcome.message == "RuntimeError: no licence"


def test_atoms_and_crystals_convert_without_loss():
    crystal = Structure.from_spacegroup(225, Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert to_structure(to_atoms(crystal)) == crystal


def test_chgnet_relaxes_rock_salt_and_gives_the_same_energy_when_asked_again():
    crystal = Structure.from_spacegroup(225, Lattice.cubic(4.4), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])
    calculator = potential(CalculatorParams(), "cpu").calculator
    relaxed = relax(crystal.get_primitive_structure(), calculator, RelaxationLimits())
    assert isinstance(relaxed, Relaxed)
    assert (4 * relaxed.crystal.volume) ** (1 / 3) == pytest.approx(4.25, abs=0.03)
    assert single_point_energy(relaxed.crystal, calculator) == pytest.approx(relaxed.energy_ev_atom, abs=1e-5)


def test_a_single_point_that_fails_is_a_value():
    outcome = single_point_energy(_fcc(4.0, "W"), EMT())
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.CALCULATOR_ERROR
