from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from generative.networks import VaeNetwork


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network() -> VaeNetwork:
    """Tiny and untrained."""
    torch.manual_seed(0)
    features = torch.randn(104, 5)
    return VaeNetwork(latent=6, width=16, heads=2, layers=1, n_properties=1, element_features=features).eval()
