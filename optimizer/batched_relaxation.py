"""Many crystals relaxed together with CHGNet: one pass of the network for all of them, on whatever device it is on.

Every crystal goes the way it goes in `relaxation.relax`: the same variables (ASE's Frechet cell filter), the same
first guess of the Hessian, the same longest step, limits and failures. A crystal that is done or fails leaves, and the
next one takes its place; nothing that one crystal does reaches the others.

The step is that of ASE's BFGS, with the absolute values of the Hessian's eigenvalues. Where all are positive, which a
Cholesky factor tells, the factor gives the same step for the whole batch at once; only the others are diagonalised.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from ase.units import GPa
from pymatgen.core import Element, Structure
from torch import Tensor

from campaigns.records import Failed, FailureCode
from optimizer.chgnet_batch import BatchedCHGNet, Bonds, CrystalBatch, Prediction
from optimizer.relaxation import (
    COLLAPSED_DISTANCE_ANG,
    COLLAPSED_VOLUME_ANG3_ATOM,
    MAX_STEP,
    VOLUME_RATIO,
    RelaxationLimits,
    Relaxed,
    unphysical,
)
from optimizer.relaxing_batch import RelaxingBatch, entered

SHORTEST_STEP = 1e-7  # along no variable longer: tells the Hessian nothing, as in ASE
Outcome = Relaxed | Failed


def relax_together(
    crystals: Sequence[Structure], model: BatchedCHGNet, limits: RelaxationLimits, *, together: int
) -> Iterator[tuple[int, Outcome]]:
    """Relax cell and positions of at most `together` crystals at a time; `(index, outcome)` as each ends.

    Failures are values with the codes of `relaxation.relax`; nothing is raised. The seconds of an outcome are its share
    of the time its batches took, so they add up to the time that passed; `max_seconds` counts from when it came in.
    """
    waiting = iter(enumerate(crystals))
    most_atoms = max((len(crystal) for crystal in crystals), default=0)
    batch: RelaxingBatch | None = None
    inside: dict[int, float] = {}  # seconds by index
    while True:
        started = time.monotonic()
        parts = [] if batch is None else [batch]
        while sum(map(len, parts)) < together and (given := next(waiting, None)):
            newcomer = entered(*given, most_atoms, model, limits)
            if isinstance(newcomer, Failed):
                yield given[0], newcomer
            else:
                inside[given[0]] = 0.0
                parts.append(newcomer)
        if not parts:
            return
        ended, batch = _advanced(RelaxingBatch.joined(parts), model, limits)
        share = (time.monotonic() - started) / len(inside)
        inside = {index: seconds + share for index, seconds in inside.items()}
        for index, outcome in ended:
            yield index, replace(outcome, seconds=inside.pop(index))


def _advanced(
    batch: RelaxingBatch, model: BatchedCHGNet, limits: RelaxationLimits
) -> tuple[list[tuple[int, Outcome]], RelaxingBatch | None]:
    """Evaluate every crystal once and move those that are not done. Who ended, and who goes on.

    Where the pass fails, out of memory or for whatever reason, each half is tried alone, down to the one to blame.
    """
    try:
        return _stepped(batch, model, limits)
    except Exception as error:  # a potential may fail in any way; one crystal must not end the others
        message = f"{type(error).__name__}: {error}"
    if len(batch) == 1:
        return [(int(batch.index[0]), Failed(FailureCode.CALCULATOR_ERROR, message))], None
    half = torch.arange(len(batch), device=batch.x.device) < len(batch) // 2
    halves = [_advanced(batch.where(rows), model, limits) for rows in (half, ~half)]
    left = [rest for _, rest in halves if rest is not None]
    return [each for ended, _ in halves for each in ended], RelaxingBatch.joined(left) if left else None


def _stepped(
    batch: RelaxingBatch, model: BatchedCHGNet, limits: RelaxationLimits
) -> tuple[list[tuple[int, Outcome]], RelaxingBatch | None]:
    """`_advanced` where nothing is raised."""
    ended, sound = _physical(batch, model)
    if sound is None:
        return ended, None
    batch, crystals, bonds = sound
    predicted = model.predict(crystals, bonds)
    forces, stresses, gradient = _along_variables(batch, predicted)
    fmax = forces.norm(dim=-1).amax(dim=-1)
    smax = stresses.abs().amax(dim=(-2, -1)) / GPa
    finite = torch.isfinite(predicted.energies) & torch.isfinite(gradient).all(dim=-1)
    converged = finite & (fmax < limits.fmax_ev_per_ang) & (smax < limits.max_stress_gpa)
    late = time.monotonic() - batch.entered > limits.max_seconds
    over = ~finite | converged | late | (batch.steps >= limits.max_steps)
    found = [predicted.energies, fmax, smax, finite, converged, late, batch.steps]
    table = torch.stack(found, dim=1).cpu()
    for row in over.nonzero()[:, 0].tolist():
        energy, force, stress, is_finite, is_converged, is_late, steps = table[row].tolist()
        outcome: Outcome
        if not is_finite:
            complaint = f"energy {energy}, force {force}, stress {stress}"
            outcome = Failed(FailureCode.CALCULATOR_ERROR, complaint)
        elif is_converged:
            crystal, ratio = _crystal(batch, crystals, row)
            outcome = Relaxed(crystal, energy, int(steps), force, stress, ratio)
        elif is_late:
            complaint = f"{limits.max_seconds:g} s passed after {int(steps)} steps"
            outcome = Failed(FailureCode.TIMED_OUT, complaint)
        else:
            complaint = f"force {force:.3f} eV/angstrom and stress {stress:.2f} GPa left after {limits.max_steps} steps"
            outcome = Failed(FailureCode.UNCONVERGED, complaint)
        ended.append((int(batch.index[row]), outcome))
    if bool(over.all()):
        return ended, None
    return ended, _moved(batch.where(~over), gradient[~over])


def _physical(
    batch: RelaxingBatch, model: BatchedCHGNet
) -> tuple[list[tuple[int, Outcome]], tuple[RelaxingBatch, CrystalBatch, Bonds] | None]:
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
        if not len(batch):
            return ended, None
        crystals = batch.crystals()
    bonds = model.bonds(crystals)
    lone = bonds.degrees(len(crystals.owners)) == 0
    close = crystals.owners[bonds.first[bonds.lengths < COLLAPSED_DISTANCE_ANG]]
    sound = torch.ones(len(batch), dtype=torch.bool, device=batch.x.device)
    sound[torch.cat([crystals.owners[lone], close])] = False
    if not bool(sound.all()):
        ended += _refused(batch, crystals, ~sound)
        batch = batch.where(sound)
        if not len(batch):
            return ended, None
        crystals = batch.crystals()
        bonds = model.bonds(crystals)
    return ended, (batch, crystals, bonds)


def _refused(batch: RelaxingBatch, crystals: CrystalBatch, rows: Tensor) -> list[tuple[int, Outcome]]:
    found: list[tuple[int, Outcome]] = []
    for row in rows.nonzero()[:, 0].tolist():
        mine = crystals.owners == row
        cell = crystals.cells[row].cpu().numpy()
        positions = crystals.fractional[mine].cpu().numpy() @ cell
        first = abs(float(torch.linalg.det(batch.first_cell[row])))
        problem = unphysical(cell, positions, first) or (FailureCode.CALCULATOR_ERROR, "an atom has no neighbour")
        found.append((int(batch.index[row]), Failed(*problem)))
    return found


def _along_variables(batch: RelaxingBatch, predicted: Prediction) -> tuple[Tensor, Tensor, Tensor]:
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


def _moved(batch: RelaxingBatch, gradient: Tensor) -> RelaxingBatch:
    """Update the Hessian with the last step (Nocedal and Wright, Numerical Optimization, eq. 6.19), take the next."""
    step, change = batch.last_step, gradient - batch.last_gradient
    pushed = (batch.hessian @ step[..., None])[..., 0]
    along, stiff = (step * change).sum(dim=-1), (step * pushed).sum(dim=-1)
    known = (step.abs().amax(dim=-1) >= SHORTEST_STEP) & (along != 0) & (stiff != 0)
    gained = change[:, :, None] * change[:, None, :] / along.where(known, 1)[:, None, None]
    lost = pushed[:, :, None] * pushed[:, None, :] / stiff.where(known, 1)[:, None, None]
    hessian = batch.hessian + torch.where(known[:, None, None], gained - lost, 0)
    next_step = (batch.projection @ _newton_step(hessian, gradient)[..., None])[..., 0]
    longest = next_step.reshape(len(batch), -1, 3).norm(dim=-1).amax(dim=-1)
    next_step = next_step * (MAX_STEP / longest).clamp(max=1)[:, None]
    return replace(
        batch,
        x=batch.x + next_step,
        hessian=hessian,
        last_step=next_step,
        last_gradient=gradient,
        steps=batch.steps + 1,
    )


def _newton_step(hessian: Tensor, gradient: Tensor) -> Tensor:
    """-|H|^-1 g `[b, d]`; |H| has the absolute eigenvalues of H `[b, d, d]`."""
    factor, failed = torch.linalg.cholesky_ex(hessian)
    step = -torch.cholesky_solve(gradient[..., None], factor)[..., 0]
    if bool((indefinite := failed > 0).any()):
        # on the CPU: a GPU takes milliseconds for each of a few small matrices
        values, vectors = torch.linalg.eigh(hessian[indefinite].cpu())
        along = (vectors.mT @ gradient[indefinite].cpu()[..., None]) / values.abs()[..., None]
        step[indefinite] = -(vectors @ along)[..., 0].to(step.device)
    return step


def _crystal(batch: RelaxingBatch, crystals: CrystalBatch, row: int) -> tuple[Structure, float]:
    """The crystal as it stands, without site properties, and its volume over the first one."""
    mine = crystals.owners == row
    fractional = crystals.fractional[mine].cpu().numpy() % 1.0
    species = [Element.from_Z(number) for number in crystals.numbers[mine].tolist()]
    ratio = float(crystals.volumes[row] / torch.linalg.det(batch.first_cell[row]).abs())
    return Structure(crystals.cells[row].cpu().numpy(), species, fractional), ratio
