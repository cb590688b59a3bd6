"""How faithful a generator is: reconstruction of held-out crystals, and what prior samples look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import moyopy
import numpy as np
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from generative.canonical import WyckoffCode
from generative.datasets import Codes
from generative.progress import tracked
from generative.protocols import DecodeFailure, Generator
from generative.representations.wyckoff import crystal_of, fingerprint


@dataclass(frozen=True)
class Reconstruction:
    """Shares of the crystals given; errors over the matched ones. An encode or decode failure is a miss."""

    n: int
    match: float  # StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    exact: float  # composition and space group
    rmsd: float | None  # mean normalised, of matched; None where nothing matched
    volume_error: float | None  # median relative, per atom, of matched (StructureMatcher ignores volume)


def reconstruction(generator: Generator, crystals: Sequence[Structure]) -> Reconstruction:
    """Encode to the mean, decode once, compare; no optimisation per crystal."""
    latents = {i: z for i, z in enumerate(generator.encode(crystals)) if isinstance(z, torch.Tensor)}
    decoded = generator.decode(torch.stack(list(latents.values())), within=None, seed=0) if latents else []
    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    distances, volumes, exact = [], [], 0
    for i, guess in tracked(zip(latents, decoded, strict=True), "matching", len(latents)):
        if isinstance(guess, DecodeFailure):
            continue
        truth = crystals[i]
        same = (
            _symmetry(guess) == _symmetry(truth)
            and guess.composition.reduced_formula == truth.composition.reduced_formula
        )
        exact += same
        found = matcher.get_rms_dist(truth, guess) if len(guess) <= 4 * len(truth) else None
        if found is not None:
            distances.append(found[0])
            volumes.append(abs(guess.volume / len(guess) / (truth.volume / len(truth)) - 1))
    n = len(crystals)
    return Reconstruction(
        n,
        len(distances) / n,
        exact / n,
        float(np.mean(distances)) if distances else None,
        float(np.median(volumes)) if volumes else None,
    )


def _symmetry(crystal: Structure) -> str:
    found = fingerprint(crystal)
    return found.split(":")[0] if isinstance(found, str) else found.message


@dataclass(frozen=True)
class CodeAgreement:
    """Shares of held-out codes decoded right, part by part (the decoder's own view, without matching)."""

    space_group: float
    positions: float
    elements: float
    all_discrete: float
    with_coordinates: float  # all discrete right and every free coordinate within 0.05


def code_agreement(truth: Sequence[WyckoffCode], decoded: Sequence[WyckoffCode | DecodeFailure]) -> CodeAgreement:
    counts = np.zeros(5)
    for a, b in zip(truth, decoded, strict=True):
        if isinstance(b, DecodeFailure):
            continue
        group = a.space_group == b.space_group
        positions = group and np.array_equal(a.positions, b.positions)
        elements = len(a.elements) == len(b.elements) and np.array_equal(a.elements, b.elements)
        both = positions and elements
        gap = np.abs(a.coords - b.coords - np.rint(a.coords - b.coords)).max(initial=0) if both else 1.0
        counts += [group, positions, elements, both, gap < 0.05]
    return CodeAgreement(*(float(c) for c in counts / len(truth)))


@dataclass(frozen=True)
class PriorSamples:
    """Of n latents from N(0, I), one decode each, no filter, no retry."""

    n: int
    decoded: float
    valid: float  # smallest periodic distance above 0.5 angstrom, volume per atom between 4 and 200 cubic angstrom
    unique: float  # distinct fingerprints


def prior_samples(generator: Generator, n: int, seed: int) -> PriorSamples:
    noise = torch.Generator().manual_seed(seed)
    z = torch.randn(n, generator.latent_dim, generator=noise, dtype=torch.float64)
    crystals = [x for x in generator.decode(z, within=None, seed=seed) if isinstance(x, Structure)]
    valid = sum(4 < x.volume / len(x) < 200 and shortest_distance(x) > 0.5 for x in crystals)
    marks = {mark for x in crystals if isinstance(mark := fingerprint(x), str)}
    return PriorSamples(n, len(crystals) / n, valid / n, len(marks) / n)


def shortest_distance(crystal: Structure) -> float:
    """Smallest distance between two atoms, periodic self-images included (angstrom)."""
    distances = crystal.distance_matrix.copy()
    reduced = np.array(moyopy.niggli_reduce(crystal.lattice.matrix.tolist())[0])  # pymatgen's takes 5 ms
    np.fill_diagonal(distances, np.linalg.norm(reduced, axis=1).min())
    return float(distances.min())


def held_out_crystals(codes: Codes) -> dict[int, Structure]:
    """Index into `codes` -> its crystal, where it has one."""
    crystals = {i: crystal_of(codes.code(i)) for i in range(len(codes))}
    return {i: x for i, x in crystals.items() if isinstance(x, Structure)}
