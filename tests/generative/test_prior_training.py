"""The decoder of blurred latents: what it is fitted to, what it leaves alone, and which latents go to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from prototypes import PROTOTYPES

from generative.batches import to_batch
from generative.canonical import WyckoffCode
from generative.datasets import Codes, stack
from generative.decoding import decode_codes
from generative.grammar import unrestricted
from generative.networks import VaeNetwork
from generative.prior_training import BLOCK, PRIOR_CHECKPOINT, PriorTrainer, blur, blurred_loss
from generative.representations.wyckoff import WyckoffRepresentation
from generative.training import encode_codes, whiten
from generative.training_settings import TrainingSettings

SETTINGS = TrainingSettings(latent=6, width=16, heads=2, layers=1, denoiser=8, prior_steps=2 * BLOCK, prior_batch=8)


@pytest.fixture
def codes() -> Codes:
    found = WyckoffRepresentation().featurize(list(PROTOTYPES.values()))
    return stack([code for code in found if isinstance(code, WyckoffCode)])


@pytest.fixture
def whitened(network: VaeNetwork, codes: Codes) -> VaeNetwork:
    whiten(network, codes)
    return network


def test_a_blur_keeps_the_law_of_whitened_latents():
    noise = torch.Generator().manual_seed(0)
    z = torch.randn(20_000, 3, generator=noise)
    blurred = blur(z, 0.6, 0.9, noise)
    assert torch.allclose(torch.cov(blurred.T), torch.eye(3), atol=0.05)
    kept = (z * blurred).mean()
    assert (1 - 0.9**2) ** 0.5 < kept < (1 - 0.6**2) ** 0.5
    assert torch.equal(blur(z, 0.0, 0.0, noise), z)


def test_only_the_decoder_of_blurred_latents_learns(whitened, codes, tmp_path):
    before = {name: each.clone() for name, each in whitened.state_dict().items()}
    PriorTrainer(whitened, replace(SETTINGS, prior_steps=3), codes, codes, tmp_path).run()
    changed = {name for name, each in whitened.state_dict().items() if not torch.equal(each, before[name])}
    assert changed
    assert all(name.startswith("blurred.") and ".sites." not in name for name in changed)


def test_it_learns_to_undo_the_blur(whitened, codes, tmp_path):
    def lost() -> float:
        z = whitened.whitened(encode_codes(whitened, codes)).repeat(20, 1)
        batch = to_batch(codes.take(np.tile(np.arange(len(codes)), 20)), torch.device("cpu"))
        with torch.no_grad():
            return float(blurred_loss(whitened, z, batch, SETTINGS, torch.Generator().manual_seed(1)))

    before = lost()
    PriorTrainer(whitened, SETTINGS, codes, codes, tmp_path).run()
    assert lost() < 0.7 * before


def test_a_run_resumed_between_blocks_ends_with_the_same_weights(whitened, codes, tmp_path):
    start = {name: each.clone() for name, each in whitened.state_dict().items()}
    (tmp_path / "whole").mkdir()
    PriorTrainer(whitened, SETTINGS, codes, codes, tmp_path / "whole").run()
    expected = {name: each.clone() for name, each in whitened.state_dict().items()}
    whitened.load_state_dict(start)
    stopped = PriorTrainer(whitened, SETTINGS, codes, codes, tmp_path)
    step, one_step = iter(range(BLOCK + 7)), stopped._one_step

    def until_it_stops(*draws) -> float:
        if next(step, None) is None:
            raise KeyboardInterrupt
        return one_step(*draws)

    stopped._one_step = until_it_stops  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert torch.load(tmp_path / PRIOR_CHECKPOINT, weights_only=True)["step"] == BLOCK
    whitened.load_state_dict(start)
    PriorTrainer(whitened, SETTINGS, codes, codes, tmp_path).run()
    for name, each in whitened.state_dict().items():
        assert torch.equal(each, expected[name]), name


def test_each_latent_is_answered_by_its_own_decoder_in_its_place(network):
    z = torch.randn(12, 6, generator=torch.Generator().manual_seed(2))
    last = network.blurred.blur[-1]
    answers = {}
    with torch.no_grad():
        for parameter in network.blurred.decoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
        logits = network.blurred.blur_logit(z)
        for name, bias in (("mixed", -logits.median()), ("own", -1e6), ("blurred", 1e6)):
            last.bias.fill_(float(bias) + (float(last.bias) if name == "mixed" else 0.0))
            answers[name] = decode_codes(network, z, unrestricted())
            if name == "mixed":
                blurred = (network.blurred.blur_logit(z) > 0).tolist()
    assert 0 < sum(blurred) < len(blurred)
    for i, of_the_other in enumerate(blurred):
        expected, found = answers["blurred" if of_the_other else "own"][i], answers["mixed"][i]
        assert type(expected) is type(found)
        if isinstance(found, WyckoffCode) and isinstance(expected, WyckoffCode):
            assert found.space_group == expected.space_group
            assert np.array_equal(found.elements, expected.elements)
