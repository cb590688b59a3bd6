"""What the surrogate sees of a crystal: blocks of columns, one for each kind of knowledge.

Latents alone say little while there are tens of observations in 64 dimensions. Composition and bonding carry the main
trend of most properties, cheap predictions where there are any carry more, and the latents what they leave over.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import torch
from pymatgen.core import Structure
from torch import Tensor

from optimizer.build import Parts
from optimizer.descriptors import KNOWN_HULL, N_BONDING, N_COMPOSITION, descriptors
from surrogates.protocols import Block

FORMATION_ENERGY = "formation_energy_ev_atom"
CGCNN = "cgcnn"


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
    """Properties the campaign wants that cgcnn's networks predict and no oracle takes from them."""
    from surrogates.predictors.cgcnn import PROPERTIES

    if any(oracle.kind == CGCNN for oracle in parts.spec.oracles):
        return ()
    return tuple(name for name in parts.objective.properties if name in PROPERTIES)


def _by_network(crystals: Sequence[Structure], names: Sequence[str]) -> Tensor:
    """cgcnn's predictions, `[n, len(names)]` in the properties' units; the mean of the others where it has none."""
    from surrogates.predictors.cgcnn import predict

    rows: list[list[float] | None] = []
    for crystal in crystals:
        try:
            values, _, _ = predict(crystal, names)
            rows.append([values[name] for name in names])
        except (KeyError, ValueError):  # an element it never saw, or a crystal that is no graph
            rows.append(None)
    known = [row for row in rows if row is not None] or [[0.0] * len(names)]
    middle = [fmean(column) for column in zip(*known, strict=True)]
    return torch.tensor([row or middle for row in rows], dtype=torch.float64).reshape(len(rows), len(names))
