"""Rows in an order the seed decides, pending ones last. Keeps what the suite asks for."""

from __future__ import annotations

import torch

from campaigns.spec import Strict


class Params(Strict):
    """Nothing to choose."""


class Choice:
    def propose(self, fitted, objective, context, *, q, seed):
        order = self.order(len(context.pool), seed)
        pending = context.already_pending[order]
        return torch.cat([order[~pending], order[pending]])[:q]

    def order(self, n, seed):
        return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def build(params, context=None):
    return Choice()
