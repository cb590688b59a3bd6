"""Many crystals relaxed together with CHGNet: one pass of the network for all of them, on whatever device it is on.

Every crystal goes the way it goes in `relaxation.relax`: the same variables (ASE's Frechet cell filter), the same
first guess of the Hessian, the same longest step, limits and failures. A crystal that is done or fails leaves, and the
next one takes its place; nothing that one crystal does reaches the others.

The step is -B g with B the inverse Hessian of BFGS (Nocedal and Wright, Numerical Optimization, 2nd ed., eq. 6.17),
instead of ASE's eigenvectors of the Hessian, which for a batch a GPU computes slowly. The two differ only where the
energy curves down along a step: there ASE turns the sign of the eigenvalue, and here B stays as it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from ase.optimize.cellawarebfgs import calculate_isotropic_elasticity_tensor
from ase.units import GPa
from numpy.typing import NDArray
from pymatgen.core import Element, Structure
from torch import Tensor

from campaigns.records import Failed, FailureCode
from optimizer.chgnet_batch import BatchedCHGNet, Bonds, CrystalBatch, Prediction
from optimizer.relaxation import (
    COLLAPSED_DISTANCE_ANG,
    COLLAPSED_VOLUME_ANG3_ATOM,
    HESSIAN_BULK_MODULUS_GPA,
    HESSIAN_EV_PER_ANG2,
    MAX_STEP,
    VOLUME_RATIO,
    RelaxationLimits,
    Relaxed,
    to_atoms,
    unphysical,
)
from optimizer.symmetry_projection import symmetry_projection

POISSON_RATIO = 0.3  # ASE's default for the first guess of the elastic tensor

Outcome = Relaxed | Failed


@dataclass(frozen=True)
class _Batch:
    """b crystals on their way, padded to n atoms.

    x is positions in the undeformed cell, then the logarithm of the deformation, as in ASE's FrechetCellFilter. Lengths
    in angstrom, energies in eV, times in seconds; float64 where nothing else is said.
    """

    index: Tensor  # int64 [b], place in the sequence that was given
    numbers: Tensor  # int64 [b, n], 0 where there is no atom
    first_cell: Tensor  # [b, 3, 3]
    projection: Tensor  # [b, 3n + 9, 3n + 9], onto what keeps the space group
    x: Tensor  # [b, 3n + 9]
    inverse_hessian: Tensor  # [b, 3n + 9, 3n + 9]
    last_step: Tensor  # [b, 3n + 9]; zero before the first
    last_gradient: Tensor  # [b, 3n + 9]
    steps: Tensor  # int64 [b]
    entered: Tensor  # [b], clock when it came in
    seconds: Tensor  # [b], its share of the time since

    def __len__(self) -> int:
        return len(self.index)

    def where(self, chosen: Tensor) -> _Batch:
        return _Batch(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @staticmethod
    def joined(parts: Sequence[_Batch]) -> _Batch:
        return _Batch(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(_Batch)))

    @property
    def present(self) -> Tensor:
        """Which places hold an atom, bool `[b, n]`."""
        return self.numbers > 0

    @property
    def positions(self) -> Tensor:
        """In the undeformed cell, `[b, n, 3]`."""
        return self.x[:, :-9].reshape(len(self), -1, 3)

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


def relax_together(
    crystals: Sequence[Structure], model: BatchedCHGNet, limits: RelaxationLimits, *, together: int
) -> Iterator[tuple[int, Outcome]]:
    """Relax cell and positions of at most `together` crystals at a time; `(index, outcome)` as each ends.

    Failures are values with the codes of `relaxation.relax`; nothing is raised. The seconds of an outcome are its share
    of the time its batches took, so they add up to the time that passed; `max_seconds` counts from when it came in.
    """
    waiting = iter(enumerate(crystals))
    most_atoms = max((len(crystal) for crystal in crystals), default=0)
    batch: _Batch | None = None
    while True:
        parts = [] if batch is None else [batch]
        while sum(map(len, parts)) < together and (given := next(waiting, None)):
            entered = _entered(*given, most_atoms, model, limits)
            if isinstance(entered, Failed):
                yield given[0], entered
            else:
                parts.append(entered)
        if not parts:
            return
        ended, batch = _advanced(_Batch.joined(parts), model, limits)
        yield from ended


def _entered(
    index: int, crystal: Structure, most_atoms: int, model: BatchedCHGNet, limits: RelaxationLimits
) -> _Batch | Failed:
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
    inverse = np.eye(size) / HESSIAN_EV_PER_ANG2
    inverse[-9:, -9:] = np.linalg.inv(_elastic_hessian(atoms.get_volume()))
    x = np.zeros(size)
    x[:count] = atoms.positions.ravel()
    numbers = np.zeros(most_atoms, dtype=np.int64)
    numbers[: len(atoms)] = atoms.numbers
    none = np.zeros(size)
    values = (index, numbers, atoms.cell.array, padded, x, inverse, none, none, 0, started, time.monotonic() - started)
    return _Batch(*(torch.as_tensor(np.asarray(value)[None], device=model.device) for value in values))


def _elastic_hessian(volume: float) -> NDArray[np.float64]:
    """First guess of the curvature along the deformation, `[9, 9]` in eV, as CellAwareBFGS makes it."""
    tensor = calculate_isotropic_elasticity_tensor(
        HESSIAN_BULK_MODULUS_GPA * GPa, POISSON_RATIO, suppress_rotation=HESSIAN_EV_PER_ANG2
    )
    return tensor.reshape(9, 9) * volume


def _advanced(
    batch: _Batch, model: BatchedCHGNet, limits: RelaxationLimits
) -> tuple[list[tuple[int, Outcome]], _Batch | None]:
    """Evaluate every crystal once and move those that are not done. Who ended, and who goes on.

    Where the pass fails, out of memory or for whatever reason, each half is tried alone, down to the one to blame.
    """
    try:
        return _stepped(batch, model, limits)
    except Exception as error:  # a potential may fail in any way; one crystal must not end the others
        message = f"{type(error).__name__}: {error}"
    if len(batch) == 1:
        failed = Failed(FailureCode.CALCULATOR_ERROR, message, float(batch.seconds[0]))
        return [(int(batch.index[0]), failed)], None
    half = torch.arange(len(batch), device=batch.x.device) < len(batch) // 2
    halves = [_advanced(batch.where(rows), model, limits) for rows in (half, ~half)]
    left = [rest for _, rest in halves if rest is not None]
    return [each for ended, _ in halves for each in ended], _Batch.joined(left) if left else None


def _stepped(
    batch: _Batch, model: BatchedCHGNet, limits: RelaxationLimits
) -> tuple[list[tuple[int, Outcome]], _Batch | None]:
    started = time.monotonic()
    ended, batch, crystals, bonds = _physical(batch, model)
    if not len(batch):
        return ended, None
    predicted = model.predict(crystals, bonds)
    forces, stresses, gradient = _along_variables(batch, predicted)
    fmax = forces.norm(dim=-1).amax(dim=-1)
    smax = stresses.abs().amax(dim=(-2, -1)) / GPa
    finite = torch.isfinite(predicted.energies) & torch.isfinite(gradient).all(dim=-1)
    converged = finite & (fmax < limits.fmax_ev_per_ang) & (smax < limits.max_stress_gpa)
    now = time.monotonic()
    late = now - batch.entered > limits.max_seconds
    over = ~finite | converged | late | (batch.steps >= limits.max_steps)
    batch = replace(batch, seconds=batch.seconds + (now - started) / len(batch))
    found = [predicted.energies, fmax, smax, finite, converged, late, batch.steps, batch.seconds]
    table = torch.stack(found, dim=1).cpu()
    for row in over.nonzero()[:, 0].tolist():
        energy, force, stress, is_finite, is_converged, is_late, steps, seconds = table[row].tolist()
        outcome: Outcome
        if not is_finite:
            complaint = f"energy {energy}, force {force}, stress {stress}"
            outcome = Failed(FailureCode.CALCULATOR_ERROR, complaint, seconds)
        elif is_converged:
            crystal, ratio = _crystal(batch, crystals, row)
            outcome = Relaxed(crystal, energy, int(steps), force, stress, ratio, seconds)
        elif is_late:
            complaint = f"{limits.max_seconds:g} s passed after {int(steps)} steps"
            outcome = Failed(FailureCode.TIMED_OUT, complaint, seconds)
        else:
            complaint = f"force {force:.3f} eV/angstrom and stress {stress:.2f} GPa left after {limits.max_steps} steps"
            outcome = Failed(FailureCode.UNCONVERGED, complaint, seconds)
        ended.append((int(batch.index[row]), outcome))
    if bool(over.all()):
        return ended, None
    return ended, _moved(batch.where(~over), gradient[~over])


def _physical(batch: _Batch, model: BatchedCHGNet) -> tuple[list[tuple[int, Outcome]], _Batch, CrystalBatch, Bonds]:
    """Who is no longer a crystal, by the rule of `relaxation.unphysical`, and the others with their bonds.

    Volumes come first: the bonds of a cell without volume would have no end.
    """
    ended: list[tuple[int, Outcome]] = []
    crystals = batch.crystals()
    volumes, first = crystals.volumes, torch.linalg.det(batch.first_cell).abs()
    sound = torch.isfinite(batch.x).all(dim=-1) & torch.isfinite(volumes)
    sound &= (volumes > first / VOLUME_RATIO) & (volumes < first * VOLUME_RATIO)
    sound &= volumes > COLLAPSED_VOLUME_ANG3_ATOM * crystals.sizes
    if not bool(sound.all()):
        ended += _refused(batch, crystals, ~sound)
        batch = batch.where(sound)
        crystals = batch.crystals()
    bonds = model.bonds(crystals)
    lone = bonds.degrees(len(crystals.owners)) == 0
    close = crystals.owners[bonds.first[bonds.lengths < COLLAPSED_DISTANCE_ANG]]
    sound = torch.ones(len(batch), dtype=torch.bool, device=batch.x.device)
    sound[torch.cat([crystals.owners[lone], close])] = False
    if not bool(sound.all()):
        ended += _refused(batch, crystals, ~sound)
        batch = batch.where(sound)
        crystals = batch.crystals()
        bonds = model.bonds(crystals)
    return ended, batch, crystals, bonds


def _refused(batch: _Batch, crystals: CrystalBatch, rows: Tensor) -> list[tuple[int, Outcome]]:
    found: list[tuple[int, Outcome]] = []
    for row in rows.nonzero()[:, 0].tolist():
        mine = crystals.owners == row
        cell = crystals.cells[row].cpu().numpy()
        positions = crystals.fractional[mine].cpu().numpy() @ cell
        first = abs(float(torch.linalg.det(batch.first_cell[row])))
        problem = unphysical(cell, positions, first) or (FailureCode.CALCULATOR_ERROR, "an atom has no neighbour")
        found.append((int(batch.index[row]), Failed(*problem, float(batch.seconds[row]))))
    return found


def _along_variables(batch: _Batch, predicted: Prediction) -> tuple[Tensor, Tensor, Tensor]:
    """Forces `[b, n, 3]` and stresses `[b, 3, 3]` as the space group leaves them, and the gradient along x."""
    forces = torch.zeros_like(batch.positions)
    forces[batch.present] = predicted.forces
    deformation = batch.deformation
    along_positions = (forces @ deformation).reshape(len(batch), -1)
    both = torch.cat([along_positions, predicted.stresses.reshape(-1, 9)], dim=1)
    both = (batch.projection @ both[..., None])[..., 0]
    stresses = both[:, -9:].reshape(-1, 3, 3)
    forces = both[:, :-9].reshape(forces.shape) @ torch.linalg.inv(deformation)
    volumes = torch.linalg.det(batch.first_cell @ deformation.mT).abs()
    slope = volumes[:, None, None] * stresses @ torch.linalg.inv(deformation).mT  # of the energy along F
    logarithm = batch.x[:, -9:].reshape(-1, 3, 3).clone().requires_grad_()
    with torch.enable_grad():
        (along_cell,) = torch.autograd.grad(torch.linalg.matrix_exp(logarithm), logarithm, slope)
    return forces, stresses, torch.cat([-both[:, :-9], along_cell.reshape(-1, 9)], dim=1)


def _moved(batch: _Batch, gradient: Tensor) -> _Batch:
    """Update the inverse Hessian with the last step and take the next."""
    step, change = batch.last_step, gradient - batch.last_gradient
    along = (step * change).sum(dim=-1)
    curved_up = along > 1e-8 * step.norm(dim=-1) * change.norm(dim=-1)
    scale = torch.where(curved_up, 1 / along.where(curved_up, 1), 0)[:, None, None]
    pushed = (batch.inverse_hessian @ change[..., None])[..., 0]
    stretch = 1 + scale[:, 0] * (change * pushed).sum(dim=-1, keepdim=True)
    mixed = pushed[:, :, None] * step[:, None, :]
    inverse = batch.inverse_hessian + scale * (
        stretch[..., None] * step[:, :, None] * step[:, None, :] - mixed - mixed.mT
    )
    next_step = -(batch.projection @ inverse @ gradient[..., None])[..., 0]
    longest = next_step.reshape(len(batch), -1, 3).norm(dim=-1).amax(dim=-1)
    next_step = next_step * (MAX_STEP / longest).clamp(max=1)[:, None]
    return replace(
        batch,
        x=batch.x + next_step,
        inverse_hessian=inverse,
        last_step=next_step,
        last_gradient=gradient,
        steps=batch.steps + 1,
    )


def _crystal(batch: _Batch, crystals: CrystalBatch, row: int) -> tuple[Structure, float]:
    """The crystal as it stands, without site properties, and its volume over the first one."""
    mine = crystals.owners == row
    fractional = crystals.fractional[mine].cpu().numpy() % 1.0
    species = [Element.from_Z(number) for number in crystals.numbers[mine].tolist()]
    ratio = float(crystals.volumes[row] / torch.linalg.det(batch.first_cell[row]).abs())
    return Structure(crystals.cells[row].cpu().numpy(), species, fractional), ratio
