"""What a generator's prior holds: are its samples crystals, different, new, plausible, and inside a space asked for?

Latents come from N(0, I), one decode each at temperature 1, which draws what the model says: no filter, no retry, no
rescaling. A latent that does not decode counts against every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pymatgen.core import Composition, Structure

from campaigns.elements import ELEMENT_GROUPS, SYMBOLS
from campaigns.ranges import Range
from campaigns.search_space import Elements, SearchSpace
from generative.evaluation import is_valid
from generative.figures import Figure, Figures, mean, share
from generative.neutrality import RULE, charge_neutral
from generative.progress import tracked
from generative.protocols import Generator
from generative.representations.wyckoff import fingerprint

CHUNK = 256
TEMPERATURE = 1.0
NEUTRALITY_CASES = 2000
TERNARY_SYSTEMS = 20
TERNARY_LATENTS = 100
FINGERPRINT = "fingerprint: formula, space group, occupied Wyckoff positions"


@dataclass(frozen=True)
class Samples:
    """n decodes in order: the crystal and its fingerprint, None where there is none."""

    crystals: tuple[Structure | None, ...]
    fingerprints: tuple[str | None, ...]

    @property
    def formulas(self) -> list[str]:
        return [x.composition.reduced_formula for x in self.crystals if x is not None]


def sampled(
    generator: Generator, n: int, seed: int, within: SearchSpace | None = None, title: str | None = "sampling"
) -> Samples:
    """Decode n latents of N(0, I) at temperature 1."""
    noise = torch.Generator().manual_seed(seed)
    parts = torch.randn(n, generator.latent_dim, generator=noise, dtype=torch.float64).split(CHUNK)
    crystals: list[Structure | None] = []
    marks: list[str | None] = []
    for i, part in enumerate(tracked(parts, title, len(parts)) if title else parts):
        chunk_seed = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
        for x in generator.decode(part, within=within, seed=chunk_seed, temperature=TEMPERATURE):
            crystal = x if isinstance(x, Structure) else None
            mark = fingerprint(crystal) if crystal is not None else None
            crystals.append(crystal)
            marks.append(mark if isinstance(mark, str) else None)
    return Samples(tuple(crystals), tuple(marks))


def sample_figures(samples: Samples, known: Callable[[str], bool] | None) -> Figures:
    """Decoded, valid, unique and new; `known` says whether a fingerprint is that of a known material."""
    n = len(samples.crystals)
    marks = {mark for mark in samples.fingerprints if mark is not None}
    found = {
        "sample_decoded": share(
            (x is not None for x in samples.crystals),
            f"N(0, I) latents that give a crystal at temperature {TEMPERATURE:g}",
        ),
        "sample_valid": share(
            (x is not None and is_valid(x) for x in samples.crystals),
            "shortest distance above 0.5 angstrom, self-images included, and 4 to 200 cubic angstrom per atom",
        ),
        "sample_unique": Figure(len(marks) / n, "share", n, f"distinct by {FINGERPRINT}"),
    }
    if known is None:
        nothing = "no table of known materials was given"
        return found | {name: Figure(None, "share", 0, nothing) for name in ("sample_new", "sample_unique_new")}
    new = {mark for mark in marks if not known(mark)}
    found["sample_new"] = share((mark in new for mark in samples.fingerprints), f"not in the table by {FINGERPRINT}")
    found["sample_unique_new"] = Figure(len(new) / n, "share", n, "distinct and not in the table")
    return found


def neutrality_figures(samples: Samples, data: Sequence[str], seed: int) -> Figures:
    """Charge neutrality of the first samples, of random crystals of the data, and of those with random elements."""
    chosen = _drawn(data, NEUTRALITY_CASES, seed)
    shuffled = frequency_random(chosen, data, seed)
    cases = {
        "neutral_samples": (samples.formulas[:NEUTRALITY_CASES], "samples, as they come"),
        "neutral_data": (chosen, "random crystals of the data"),
        "neutral_random": (
            shuffled,
            "those crystals with their elements replaced at random, by how many crystals of the data hold an element",
        ),
    }
    return {
        name: share((charge_neutral(formula) for formula in tracked(formulas, what, len(formulas))), f"{RULE}; {what}")
        for name, (formulas, what) in cases.items()
    }


def frequency_random(formulas: Sequence[str], data: Sequence[str], seed: int) -> list[str]:
    """Each formula with other elements, each drawn once, by the number of the data's crystals that hold it."""
    rng = np.random.default_rng(seed)
    held = [element.symbol for formula in data for element in Composition(formula).elements]
    symbols, counts = np.unique(held, return_counts=True)
    chance = counts / counts.sum()
    drawn = []
    for formula in formulas:
        amounts = list(Composition(formula).get_el_amt_dict().values())
        elements = rng.choice(symbols, len(amounts), replace=False, p=chance)
        composition = Composition(dict(zip(elements.tolist(), amounts, strict=True)))
        drawn.append(composition.reduced_formula)
    return drawn


def ternary_figures(generator: Generator, data: Sequence[str], seed: int) -> Figures:
    """Random ternary systems as search spaces: how many decodes are inside, and how many of those are distinct."""
    allowed = sorted(
        {element.symbol for formula in data for element in Composition(formula).elements}
        - set(ELEMENT_GROUPS["radioactive"])
        - set(ELEMENT_GROUPS["noble_gas"])
    )
    rule = (
        f"{TERNARY_LATENTS} N(0, I) latents in each of {TERNARY_SYSTEMS} random systems of three of the data's elements"
    )
    if len(allowed) < 3:
        nothing = Figure(None, "share", 0, f"{rule}, which has fewer than three")
        return {"ternary_inside": nothing, "ternary_unique": nothing}
    rng = np.random.default_rng(seed)
    inside, unique = [], []
    for i in tracked(range(TERNARY_SYSTEMS), "ternary systems", TERNARY_SYSTEMS):
        system = sorted(rng.choice(allowed, 3, replace=False).tolist())
        space = SearchSpace(elements=Elements(include=system, require=system), n_elements=Range(low=3, high=3))
        found = sampled(generator, TERNARY_LATENTS, seed + i, space, None)
        kept = [_inside(x, system, space) for x in found.crystals]
        marks = {mark for mark, good in zip(found.fingerprints, kept, strict=True) if good and mark is not None}
        inside += kept
        unique.append(len(marks) / TERNARY_LATENTS)
    return {
        "ternary_inside": share(inside, f"{rule}: exactly these elements, at most {space.n_atoms.high} atoms"),
        "ternary_unique": mean(unique, "share", f"{rule}: distinct ones inside over latents, mean of the systems"),
    }


def _inside(crystal: Structure | None, system: Sequence[str], space: SearchSpace) -> bool:
    if crystal is None:
        return False
    return sorted(e.symbol for e in crystal.composition.elements) == list(system) and len(crystal) in space.n_atoms


def _drawn(items: Sequence[str], n: int, seed: int) -> list[str]:
    chosen = np.random.default_rng(seed).choice(len(items), min(n, len(items)), replace=False)
    return [items[i] for i in chosen]


def counted_elements(compositions: Sequence[Composition]) -> dict[str, int]:
    """Element -> crystals that hold it, in the order of atomic numbers."""
    counts = dict.fromkeys(SYMBOLS, 0)
    for composition in compositions:
        for element in composition.elements:
            counts[element.symbol] += 1
    return counts
