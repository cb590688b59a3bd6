"""The state of crystals that are being relaxed together, and how one comes in. See `batched_relaxation`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from ase.optimize.cellawarebfgs import calculate_isotropic_elasticity_tensor
from ase.units import GPa
from numpy.typing import NDArray
from pymatgen.core import Structure
from torch import Tensor

from campaigns.records import Failed, FailureCode
from optimizer.chgnet_batch import BatchedCHGNet, CrystalBatch
from optimizer.relaxation import (
    HESSIAN_BULK_MODULUS_GPA,
    HESSIAN_EV_PER_ANG2,
    RelaxationLimits,
    to_atoms,
    unphysical,
)
from optimizer.symmetry_projection import symmetry_projection

POISSON_RATIO = 0.3  # ASE's default for the first guess of the elastic tensor


@dataclass(frozen=True)
class RelaxingBatch:
    """b crystals on their way, padded to n atoms.

    x is positions in the undeformed cell, then the logarithm of the deformation, as in ASE's FrechetCellFilter. Lengths
    in angstrom, energies in eV, times in seconds; float64 where nothing else is said.
    """

    index: Tensor  # int64 [b], place in the sequence that was given
    numbers: Tensor  # int64 [b, n], 0 where there is no atom
    first_cell: Tensor  # [b, 3, 3]
    projection: Tensor  # [b, 3n + 9, 3n + 9], onto what keeps the space group
    x: Tensor  # [b, 3n + 9]
    hessian: Tensor  # [b, 3n + 9, 3n + 9]
    last_step: Tensor  # [b, 3n + 9]; zero before the first
    last_gradient: Tensor  # [b, 3n + 9]
    steps: Tensor  # int64 [b]
    entered: Tensor  # [b], clock when it came in

    def __len__(self) -> int:
        return len(self.index)

    def where(self, chosen: Tensor) -> RelaxingBatch:
        return RelaxingBatch(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @staticmethod
    def joined(parts: Sequence[RelaxingBatch]) -> RelaxingBatch:
        return RelaxingBatch(
            *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(RelaxingBatch))
        )

    @property
    def present(self) -> Tensor:
        """Which places hold an atom, bool `[b, n]`."""
        return self.numbers > 0

    @property
    def positions(self) -> Tensor:
        """In the undeformed cell, `[b, n, 3]`."""
        return self.x[:, :-9].reshape(*self.numbers.shape, 3)

    @property
    def deformation(self) -> Tensor:
        """Deformation gradient F, `[b, 3, 3]`: cell = first cell F^T."""
        return torch.linalg.matrix_exp(self.x[:, -9:].reshape(-1, 3, 3))

    def crystals(self) -> CrystalBatch:
        """As they stand now. Fractional coordinates do not change with the deformation."""
        present = self.present
        fractional = self.positions @ torch.linalg.inv(self.first_cell)
        owners = torch.arange(len(self), device=self.x.device)[:, None].expand_as(present)
        cells = self.first_cell @ self.deformation.mT
        return CrystalBatch(self.numbers[present], owners[present], fractional[present], cells)


def entered(
    index: int, crystal: Structure, most_atoms: int, model: BatchedCHGNet, limits: RelaxationLimits
) -> RelaxingBatch | Failed:
    """One crystal before its first step, or why it cannot begin."""
    started = time.monotonic()
    code = FailureCode.ORACLE_ERROR  # what is no crystal to ASE is not the potential's fault
    try:
        atoms = to_atoms(crystal)
        if problem := unphysical(atoms.cell.array, atoms.positions, crystal.volume):
            return Failed(*problem, time.monotonic() - started)
        code = FailureCode.CALCULATOR_ERROR
        if message := model.cannot_take(atoms.numbers):
            return Failed(code, message, time.monotonic() - started)
        count, size = 3 * len(atoms), 3 * most_atoms + 9
        projection = np.eye(count + 9)
        if limits.keep_symmetry:
            projection = symmetry_projection(atoms)
    except Exception as error:  # one crystal must not end the others
        return Failed(code, f"{type(error).__name__}: {error}", time.monotonic() - started)
    kept = np.r_[:count, size - 9 : size]
    padded = np.zeros((size, size))
    padded[np.ix_(kept, kept)] = projection
    hessian = np.eye(size) * HESSIAN_EV_PER_ANG2
    hessian[-9:, -9:] = _elastic_hessian(atoms.get_volume())
    x = np.zeros(size)
    x[:count] = atoms.positions.ravel()
    numbers = np.zeros(most_atoms, dtype=np.int64)
    numbers[: len(atoms)] = atoms.numbers
    none = np.zeros(size)
    values = (index, numbers, atoms.cell.array, padded, x, hessian, none, none, 0, started)
    return RelaxingBatch(*(torch.as_tensor(np.asarray(value)[None], device=model.device) for value in values))


def _elastic_hessian(volume: float) -> NDArray[np.float64]:
    """First guess of the curvature along the deformation, `[9, 9]` in eV, as CellAwareBFGS makes it."""
    tensor = calculate_isotropic_elasticity_tensor(
        HESSIAN_BULK_MODULUS_GPA * GPa, POISSON_RATIO, suppress_rotation=HESSIAN_EV_PER_ANG2
    )
    return tensor.reshape(9, 9) * volume
