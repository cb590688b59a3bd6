"""Samples of the prior."""

from __future__ import annotations

import torch
from pymatgen.core import Structure

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace
from generative.protocols import DecodeFailure
from optimizer.starts.generator_samples import BATCH, Params, build

CRYSTAL = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["Po"], [[0, 0, 0]])


class Coin:
    """Decodes positive first coordinates only."""

    latent_dim = 3

    def decode(self, z, *, within, seed, temperature):
        return [CRYSTAL if x[0] > 0 else DecodeFailure(FailureCode.DECODE_DEAD_END, "") for x in z]


def test_samples_carry_the_latent_they_were_decoded_from():
    found = list(build(Params(n=5), None).crystals(Coin(), SearchSpace(), seed=0))
    good = [each for each in found if not isinstance(each, DecodeFailure)]
    assert len(found) % BATCH == 0
    assert 0.4 < len(good) / len(found) < 0.6
    z = torch.stack([each.z for each in good])
    assert (z[:, 0] > 0).all()
    assert z[:, 1:].mean().abs() < 0.1
    assert len(z.unique(dim=0)) == len(z)


def test_what_was_drawn_carries_no_latent():
    found = list(build(Params(n=5, temperature=0.5), None).crystals(Coin(), SearchSpace(), seed=0))
    assert {each.z for each in found if not isinstance(each, DecodeFailure)} == {None}
