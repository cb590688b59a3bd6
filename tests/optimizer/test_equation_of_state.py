"""Equation of state: the fit on made-up curves, copper with EMT, diamond with CHGNet."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure

from campaigns.records import Failed, FailureCode
from optimizer.calculators import CalculatorParams, potential
from optimizer.equation_of_state import (
    EV_PER_ANG3_IN_GPA,
    EquationOfState,
    EquationOfStateLimits,
    equation_of_state,
    fit_birch_murnaghan,
)
from optimizer.relaxation import RelaxationLimits, Relaxed, relax


def _birch_murnaghan(v, e0, b0_gpa, b1, v0):
    """Equation 2 of Phys. Rev. B 70, 224107."""
    eta = (v0 / v) ** (2 / 3)
    b0 = b0_gpa / EV_PER_ANG3_IN_GPA
    return e0 + 9 * b0 * v0 / 16 * ((eta - 1) ** 3 * b1 + (eta - 1) ** 2 * (6 - 4 * eta))


VOLUMES = 12.0 * np.linspace(0.94, 1.06, 7)


def test_the_fit_gives_back_the_curve_it_was_made_from():
    fit = fit_birch_murnaghan(VOLUMES, _birch_murnaghan(VOLUMES, -5.0, 150.0, 4.5, 12.1), 0.001)
    assert isinstance(fit, EquationOfState)
    assert fit.bulk_modulus_gpa == pytest.approx(150.0, rel=1e-5)
    assert fit.pressure_derivative == pytest.approx(4.5, rel=1e-3)
    assert fit.volume_ang3_atom == pytest.approx(12.1, rel=1e-6)
    assert fit.residual_ev_atom < 1e-8


@pytest.mark.parametrize(
    ("energies", "code"),
    [
        (-0.1 * VOLUMES, FailureCode.EOS_NO_MINIMUM),
        (-((VOLUMES - 12.0) ** 2), FailureCode.EOS_NO_MINIMUM),
        (_birch_murnaghan(VOLUMES, -5.0, 150.0, 4.5, 13.5), FailureCode.EOS_NO_MINIMUM),
        (
            _birch_murnaghan(VOLUMES, -5.0, 150.0, 4.5, 12.0) + 0.005 * np.array([0, 1, -1, 1, -1, 1, 0]),
            FailureCode.EOS_BAD_FIT,
        ),
    ],
)
def test_curves_without_a_minimum_or_with_noise_are_refused(energies, code):
    fit = fit_birch_murnaghan(VOLUMES, energies, 0.001)
    assert isinstance(fit, Failed)
    assert fit.code == code


def test_the_modulus_of_copper_agrees_with_its_elastic_constants_in_emt():
    copper = Structure.from_spacegroup(225, Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]]).get_primitive_structure()
    relaxed = relax(copper, EMT(), RelaxationLimits())
    assert isinstance(relaxed, Relaxed)
    fit = equation_of_state(relaxed.crystal, EMT(), EquationOfStateLimits())
    assert isinstance(fit, EquationOfState)
    assert fit.bulk_modulus_gpa == pytest.approx(134, abs=2)  # EMT was fitted to copper's 134 GPa
    assert fit.evaluations == 7  # symmetry leaves no forces


def test_ions_are_relaxed_at_every_volume():
    crystal = Structure.from_spacegroup(
        123, Lattice.tetragonal(3.7, 7.6), ["Cu", "Au"], [[0, 0, 0.23], [0.5, 0.5, 0.5]]
    )
    relaxed = relax(crystal, EMT(), RelaxationLimits(fmax_ev_per_ang=0.01))
    assert isinstance(relaxed, Relaxed)
    fit = equation_of_state(relaxed.crystal, EMT(), EquationOfStateLimits(fmax_ev_per_ang=0.01))
    assert isinstance(fit, EquationOfState)
    assert fit.evaluations > 7


def test_a_potential_without_the_element_and_ions_that_never_settle_are_values():
    tungsten = Structure.from_spacegroup(229, Lattice.cubic(3.2), ["W"], [[0, 0, 0]])
    outcome = equation_of_state(tungsten, EMT(), EquationOfStateLimits())
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.CALCULATOR_ERROR
    displaced = Structure(Lattice.cubic(3.6), ["Cu"] * 4, [[0, 0, 0], [0.5, 0.5, 0.1], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    outcome = equation_of_state(displaced, EMT(), EquationOfStateLimits(max_ion_steps=1))
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.UNCONVERGED
    outcome = equation_of_state(displaced, EMT(), EquationOfStateLimits(max_seconds=0.0))
    assert isinstance(outcome, Failed)
    assert outcome.code == FailureCode.TIMED_OUT


def test_diamond_is_stiff_with_chgnet():
    diamond = Structure.from_spacegroup(227, Lattice.cubic(3.57), ["C"], [[0, 0, 0]]).get_primitive_structure()
    fit = equation_of_state(diamond, potential(CalculatorParams(), "cpu").calculator, EquationOfStateLimits())
    assert isinstance(fit, EquationOfState)
    assert fit.bulk_modulus_gpa == pytest.approx(440, rel=0.1)
