"""From a crystal to a latent that decodes to it.

An encoder's mean decodes to its crystal in most cases, not in all. Where it does not, the latent is moved down the
gradient of the decoder's negative log likelihood of the crystal (teacher-forced), with a weak pull towards the prior,
until the greedy decode gives the crystal back. This is optimisation-based inversion of a decoder (Lipton & Tripathi,
arXiv:1702.04782), started from the amortised guess. No oracle is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from torch import Tensor

from generative.batches import to_batch
from generative.canonical import WyckoffCode
from generative.datasets import stack
from generative.decoding import decode_codes
from generative.grammar import Grammar
from generative.networks import VaeNetwork
from generative.progress import tracked
from generative.protocols import DecodeFailure
from generative.representations.wyckoff import crystal_of

STEPS = 150
CHECK_EVERY = 25  # steps between two greedy decodes
LEARNING_RATE = 0.05  # in units of the prior's standard deviation
PRIOR_PULL = 0.01  # weight of the prior's negative log density, nats
SAME_COORDINATE = 0.05  # periods
SAME_VOLUME = 0.1  # relative, per atom: StructureMatcher ignores volume


@cache
def _matcher() -> StructureMatcher:
    return StructureMatcher()


def same_crystal(truth: WyckoffCode, decoded: WyckoffCode | DecodeFailure) -> bool:
    """Space group, occupied positions and elements equal, every free coordinate within 0.05 of a period or the
    structures matched by pymatgen's default tolerances, volume within 10 %."""
    if isinstance(decoded, DecodeFailure) or not _same_sites(truth, decoded):
        return False
    gap = truth.coords - decoded.coords
    close = np.abs(gap - np.rint(gap)).max(initial=0) < SAME_COORDINATE
    left, right = crystal_of(truth), crystal_of(decoded)
    if not (isinstance(left, Structure) and isinstance(right, Structure)):
        return False
    if abs(right.volume / left.volume - 1) > SAME_VOLUME:
        return False
    return bool(close) or _matcher().fit(left, right)


def _same_sites(a: WyckoffCode, b: WyckoffCode) -> bool:
    return (
        a.space_group == b.space_group
        and np.array_equal(a.positions, b.positions)
        and np.array_equal(a.elements, b.elements)
    )


def descend(
    network: VaeNetwork, codes: Sequence[WyckoffCode], raw: Tensor, grammar: Grammar
) -> list[tuple[Tensor, bool, int]]:
    """For each code its latent before whitening, whether that decodes to it, and the steps taken.

    raw `[n, D]` float64: where to start, the encoder's means; what never decodes to its code comes back unmoved.
    """
    found: list[tuple[Tensor, bool, int]] = [(z, False, STEPS) for z in raw]
    left = _settle(network, codes, raw, np.arange(len(codes)), grammar, 0, found)
    if not len(left):
        return found
    white = network.whitened(raw[left].to(network.white_mean.device)).clone().requires_grad_(True)
    optimiser = torch.optim.Adam([white], lr=LEARNING_RATE)
    batch = to_batch(stack([codes[i] for i in left]), network.white_mean.device)
    for step in tracked(range(1, STEPS + 1), f"aligning {len(left)} crystals, step", STEPS):
        misfit = torch.stack(list(network.decoder.reconstruction(network.unwhitened(white).float(), batch).values()))
        loss = misfit.sum() + PRIOR_PULL * 0.5 * (white**2).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                moved = network.unwhitened(white).cpu()
            if not len(_settle(network, codes, moved, left, grammar, step, found)):
                break
    return found


def _settle(
    network: VaeNetwork,
    codes: Sequence[WyckoffCode],
    raw: Tensor,
    rows: np.ndarray,
    grammar: Grammar,
    step: int,
    found: list[tuple[Tensor, bool, int]],
) -> np.ndarray:
    """Note which of `rows` (with latents `raw [len(rows), D]`) decode back now; returns those that still do not."""
    decoded = decode_codes(network, raw.float().to(network.white_mean.device), grammar)
    left = []
    for row, z, code in zip(rows, raw, decoded, strict=True):
        if found[row][1]:
            continue
        if same_crystal(codes[row], code):
            found[row] = (z.detach().clone(), True, step)
        else:
            left.append(row)
    return np.array(left, dtype=int)
