"""What the surrogate sees of a crystal: blocks of columns, one for each kind of knowledge.

Latents alone say little while there are tens of observations in 64 dimensions. Composition and bonding carry the main
trend of most properties, cheap predictions where there are any carry more, and the latents what they leave over.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pymatgen.core import Structure
from torch import Tensor

from optimizer.build import Parts
from optimizer.descriptors import KNOWN_HULL, N_BONDING, N_COMPOSITION, descriptors
from optimizer.row_memory import rows_of
from surrogates.protocols import Block

FORMATION_ENERGY = "formation_energy_ev_atom"
ABOVE_HULL = "energy_above_hull_ev_atom"
CGCNN = "cgcnn"
GENERAL = ("band_gap_ev", FORMATION_ENERGY)  # which tell much of other properties


def surrogate_inputs(parts: Parts, z: Tensor, crystals: Sequence[Structure]) -> Tensor:
    """Of n crystals with the latents `z [n, d]`: their blocks side by side, float64 `[n, d + p]`."""
    if not parts.spec.descriptors:
        return z
    described = descriptors(crystals, parts.references)
    blocks = [z, described]
    if parts.spec.prior_mean:
        columns = _predictions(parts, z, crystals, described[:, KNOWN_HULL])
        blocks += [torch.stack(columns, dim=1)] * bool(columns)
    return torch.cat(blocks, dim=1)


def input_blocks(parts: Parts, width: int) -> tuple[Block, ...]:
    """The blocks of `width` columns that `surrogate_inputs` gives."""
    if not parts.spec.descriptors:
        return (Block("latent", width),)
    blocks = _without_predictions(parts)
    left = width - sum(block.width for block in blocks)
    return (*blocks, *[Block("predicted", left, trend=True)] * bool(left))


def guesses(parts: Parts) -> dict[str, int]:
    """Property -> the column of `surrogate_inputs` that guesses it in its unit: what cgcnn's networks say, and no more.

    The generator's own guess of a formation energy is good for crystals like those it was trained on, and says nothing
    of the distance from the hull of others (docs/decisions.md).
    """
    if not (parts.spec.descriptors and parts.spec.prior_mean and (names := networks(parts))):
        return {}
    first = sum(block.width for block in _without_predictions(parts))
    columns = [*names, *([ABOVE_HULL] if FORMATION_ENERGY in names else [])]
    return {name: first + place for place, name in enumerate(columns) if name in parts.objective.properties}


def networks(parts: Parts) -> tuple[str, ...]:
    """What cgcnn's networks guess: gap, formation energy, and what else the campaign wants, but nothing that an oracle
    takes from there. A gap brings the log probability of a metal with it.
    """
    from surrogates.predictors.cgcnn import PROPERTIES

    stages = zip(parts.spec.oracles, parts.cascade.stages, strict=True)
    measured = {each.name for spec, stage in stages if spec.kind == CGCNN for each in stage.oracle.properties}
    wanted = {*GENERAL, *parts.objective.properties} - measured
    return tuple(name for name in PROPERTIES if name in wanted)


def _without_predictions(parts: Parts) -> tuple[Block, ...]:
    latent = Block("latent", parts.generator.latent_dim)
    return latent, Block("composition", N_COMPOSITION), Block("bonding", N_BONDING)


def _predictions(parts: Parts, z: Tensor, crystals: Sequence[Structure], hull: Tensor) -> list[Tensor]:
    """Columns `[n]`: the networks' guess of each property, with a formation energy the distance from the known
    `hull [n]`, with a gap the log probability of a metal; then the generator's guesses, which alone give the distance
    where there is no network.
    """
    from surrogates.predictors.cgcnn import raw_predictions

    guessed = parts.generator.predict(z)
    own = [guessed[name] for name in sorted(guessed)]
    names = networks(parts)
    if not names:
        return [*own, *([guessed[FORMATION_ENERGY] - hull] if FORMATION_ENERGY in guessed else [])]
    found = rows_of(crystals, ("cgcnn", names), lambda some: torch.from_numpy(raw_predictions(some, names)))
    found = torch.where(found.isnan(), found.nanmean(0).nan_to_num(0.0), found)  # where it has none, the others' mean
    above = [found[:, names.index(FORMATION_ENERGY)] - hull] if FORMATION_ENERGY in names else []
    return [*found.T[: len(names)], *above, *found.T[len(names) :], *own]
