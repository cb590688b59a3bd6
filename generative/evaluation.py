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

MATCHER = "StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)"


def matcher() -> StructureMatcher:
    """The tolerances of published figures (Xie et al., ICLR 2022)."""
    return StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)


@dataclass(frozen=True)
class Comparison:
    """A crystal beside what its latent decodes to; numbers are None where the two do not match."""

    exact: bool  # composition and space group
    rmsd: float | None  # normalised by the cube root of the volume per atom
    volume_error: float | None  # relative, per atom (StructureMatcher ignores volume)

    @property
    def matched(self) -> bool:
        return self.rmsd is not None


MISS = Comparison(False, None, None)


@dataclass(frozen=True)
class Reconstruction:
    """Shares of the n crystals given; errors over the matched ones. An encode or decode failure is a miss."""

    n: int
    match: float
    exact: float  # composition and space group
    exact_of_matched: float | None  # None, as below, where nothing matched
    rmsd: float | None  # mean normalised, of matched
    volume_error: float | None  # median relative, per atom, of matched


def reconstruction(generator: Generator, crystals: Sequence[Structure]) -> Reconstruction:
    """Encode to the mean, decode once, compare; no optimisation per crystal."""
    return summary(reconstructed(generator, crystals))


def reconstructed(generator: Generator, crystals: Sequence[Structure]) -> list[Comparison]:
    """Each crystal beside its reconstruction; same length and order."""
    found = [MISS] * len(crystals)
    latents = {i: z for i, z in enumerate(generator.encode(crystals)) if isinstance(z, torch.Tensor)}
    if not latents:
        return found
    decoded = generator.decode(torch.stack(list(latents.values())), within=None, seed=0)
    same = matcher()
    for i, guess in tracked(zip(latents, decoded, strict=True), "matching", len(latents)):
        if isinstance(guess, Structure):
            found[i] = compared(crystals[i], guess, same)
    return found


def compared(truth: Structure, guess: Structure, same: StructureMatcher) -> Comparison:
    """Composition, space group (at 0.1 angstrom), distances and volume of two crystals."""
    same_formula = guess.composition.reduced_composition == truth.composition.reduced_composition
    exact = same_formula and _symmetry(guess) == _symmetry(truth)
    found = same.get_rms_dist(truth, guess) if len(guess) <= 4 * len(truth) else None
    if found is None:
        return Comparison(exact, None, None)
    volume_error = abs(guess.volume / len(guess) / (truth.volume / len(truth)) - 1)
    return Comparison(exact, float(found[0]), float(volume_error))


def summary(found: Sequence[Comparison]) -> Reconstruction:
    """Shares and errors of one comparison or more."""
    matched = [each for each in found if each.matched]
    n = len(found)
    return Reconstruction(
        n,
        len(matched) / n,
        sum(each.exact for each in found) / n,
        sum(each.exact for each in matched) / len(matched) if matched else None,
        float(np.mean([each.rmsd for each in matched])) if matched else None,
        float(np.median([each.volume_error for each in matched])) if matched else None,
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
    valid: float  # see `is_valid`
    unique: float  # distinct fingerprints, of valid ones


def prior_samples(generator: Generator, n: int, seed: int) -> PriorSamples:
    noise = torch.Generator().manual_seed(seed)
    z = torch.randn(n, generator.latent_dim, generator=noise, dtype=torch.float64)
    crystals = [x for x in generator.decode(z, within=None, seed=seed) if isinstance(x, Structure)]
    valid = [x for x in crystals if is_valid(x)]  # symmetry may be sought for ever among atoms on top of each other
    marks = {mark for x in valid if isinstance(mark := fingerprint(x), str)}
    return PriorSamples(n, len(crystals) / n, len(valid) / n, len(marks) / n)


def is_valid(crystal: Structure) -> bool:
    """Smallest periodic distance above 0.5 angstrom, volume per atom between 4 and 200 cubic angstrom."""
    return 4 < crystal.volume / len(crystal) < 200 and shortest_distance(crystal) > 0.5


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
