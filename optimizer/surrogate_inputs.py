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
CGCNN = "cgcnn"
GENERAL = ("band_gap_ev", "formation_energy_ev_atom")


def surrogate_inputs(parts: Parts, z: Tensor, crystals: Sequence[Structure]) -> Tensor:
    """Of n crystals with the latents `z [n, d]`: their blocks side by side, float64 `[n, d + p]`."""
    if not parts.spec.descriptors:
        return z
    described = descriptors(crystals, parts.references)
    blocks = [z, described]
    if parts.spec.prior_mean:
        predicted = parts.generator.predict(z)
        columns = [predicted[name] for name in sorted(predicted)]
        if FORMATION_ENERGY in predicted:  # with it the distance from the known hull is known, as far as it can be
            columns.append(predicted[FORMATION_ENERGY] - described[:, KNOWN_HULL])
        blocks += [torch.stack(columns, dim=1)] * bool(columns)
        blocks += [_by_network(crystals, names)] if (names := networks(parts)) else []
    return torch.cat(blocks, dim=1)


def input_blocks(parts: Parts, width: int) -> tuple[Block, ...]:
    """The blocks of `width` columns that `surrogate_inputs` gives."""
    if not parts.spec.descriptors:
        return (Block("latent", width),)
    blocks = [
        Block("latent", parts.generator.latent_dim),
        Block("composition", N_COMPOSITION),
        Block("bonding", N_BONDING),
    ]
    left = width - sum(block.width for block in blocks)
    return (*blocks, *[Block("predicted", left, trend=True)] * bool(left))


def networks(parts: Parts) -> tuple[str, ...]:
    """What is predicted by cgcnn: gap and formation energy, which tell much of other properties, and what else the
    campaign wants of it; nothing where an oracle takes its values from there.
    """
    from surrogates.predictors.cgcnn import PROPERTIES

    if any(oracle.kind == CGCNN for oracle in parts.spec.oracles):
        return ()
    return tuple(name for name in PROPERTIES if name in GENERAL or name in parts.objective.properties)


def _by_network(crystals: Sequence[Structure], names: Sequence[str]) -> Tensor:
    """cgcnn's predictions, `[n, len(names) + 1]`, the last the log probability of a metal; the mean of the others
    where it has none.
    """
    from surrogates.predictors.cgcnn import raw_predictions

    found = rows_of(crystals, ("cgcnn", names), lambda some: torch.from_numpy(raw_predictions(some, names)))
    return torch.where(found.isnan(), found.nanmean(0).nan_to_num(0.0), found)
