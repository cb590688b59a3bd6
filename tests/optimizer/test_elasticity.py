"""Elastic tensors, against closed forms and against the equation of state."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.units import GPa
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode
from optimizer.elasticity import (
    Elasticity,
    ElasticLimits,
    distinct_strains,
    elastic_tensor,
    fitted_stiffness,
    point_group,
)
from optimizer.equation_of_state import EquationOfStateLimits, equation_of_state
from optimizer.relaxation import RelaxationLimits, Relaxed, relax, to_structure


def _relaxed(symbol: str) -> Structure:
    found = relax(to_structure(bulk(symbol)), EMT(), RelaxationLimits(fmax_ev_per_ang=0.005, max_stress_gpa=0.02))
    assert isinstance(found, Relaxed)
    return found.crystal


def _tensor(crystal: Structure, calculator: Calculator | None = None, **limits: float) -> Elasticity:
    found = elastic_tensor(crystal, calculator or EMT(), ElasticLimits(**limits))
    assert isinstance(found, Elasticity), found
    return found


class Springs(Calculator):
    """Obeys Hooke's law exactly in the Eulerian strain against its first cell: C11 100, C12 40, C44 25 GPa."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012, as ASE declares it

    def __init__(self, home: np.ndarray) -> None:
        super().__init__()
        self.home = home

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        gradient = (np.linalg.inv(self.home) @ self.atoms.cell.array).T
        inverse = np.linalg.inv(gradient.T @ gradient)
        strain = (np.eye(3) - inverse) / 2
        conjugate = 40 * np.trace(strain) * np.eye(3) + 50 * strain + 10 * np.diag(np.diag(strain))
        piola = inverse @ conjugate @ inverse
        self.results = {
            "energy": 0.5 * (conjugate * strain).sum() * GPa * abs(np.linalg.det(self.home)),
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": _voigt(gradient @ piola @ gradient.T / np.linalg.det(gradient)) * GPa,
        }


def _voigt(tensor: np.ndarray) -> np.ndarray:
    return tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def test_hookes_law_is_found_again_exactly():
    crystal = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
    found = _tensor(crystal, Springs(crystal.lattice.matrix))
    expected = np.diag([60.0, 60, 60, 25, 25, 25])
    expected[:3, :3] += 40
    assert found.tensor.voigt == pytest.approx(expected, abs=1e-4)
    assert found.misfit < 1e-6
    assert found.softest_gpa == pytest.approx(25)


@pytest.mark.parametrize(("symbol", "c11", "c12", "c44"), [("Cu", 173, 115, 90), ("Al", 53, 33, 36)])
def test_bulk_modulus_is_that_of_the_equation_of_state(symbol, c11, c12, c44):
    crystal = _relaxed(symbol)
    found = _tensor(crystal)
    fit = equation_of_state(crystal, EMT(), EquationOfStateLimits())
    assert not isinstance(fit, Failed)
    assert found.tensor.k_vrh == pytest.approx(fit.bulk_modulus_gpa, rel=0.01)
    assert found.tensor.voigt[[0, 0, 3], [0, 1, 3]] == pytest.approx([c11, c12, c44], abs=1.5)


def test_the_tensor_does_not_depend_on_how_the_crystal_is_turned():
    crystal = _relaxed("Cu")
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    turned = Structure(crystal.lattice.matrix @ turn.T, crystal.species, crystal.frac_coords)
    assert _tensor(turned).tensor.voigt == pytest.approx(_tensor(crystal).tensor.voigt, abs=0.05)


def test_symmetry_saves_strains():
    crystal = _relaxed("Cu")
    cubic, all_strains = distinct_strains(point_group(crystal), 0.03), distinct_strains([np.eye(3)], 0.03)
    assert len(all_strains) == 42
    assert len(cubic) < 42


def test_a_stressed_crystal_is_refused():
    squeezed = Structure.from_spacegroup(225, Lattice.cubic(3.4), ["Cu"], [[0, 0, 0]])
    found = elastic_tensor(squeezed, EMT(), ElasticLimits())
    assert isinstance(found, Failed)
    assert found.code == FailureCode.UNCONVERGED
    assert "relax it" in found.message


def test_a_calculator_that_fails_is_an_outcome():
    polonium = Structure(Lattice.cubic(3.4), ["Po"], [[0, 0, 0]])
    found = elastic_tensor(polonium, EMT(), ElasticLimits())
    assert isinstance(found, Failed)
    assert found.code == FailureCode.CALCULATOR_ERROR


def test_a_stiffness_is_fitted_to_energies_and_stresses_alike():
    rng = np.random.default_rng(1)
    root = rng.standard_normal((6, 6))
    expected, strains = root @ root.T, 0.02 * rng.standard_normal((40, 6))
    stresses = strains @ expected
    works = 0.5 * np.einsum("mi,mi->m", strains, stresses)
    stiffness, misfit = fitted_stiffness(strains, stresses, works)
    assert stiffness == pytest.approx(expected)
    assert misfit == pytest.approx(0, abs=1e-9)
