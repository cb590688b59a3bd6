"""Takes the filling of the entries that were never measured for measurements."""

from __future__ import annotations

import torch
from surrogates.models.sound_gp import Params

from surrogates.models import sound_gp

__all__ = ["Params", "build"]


class Credulous:
    def __init__(self, inner):
        self.inner = inner

    def fit(self, z, y, *, observed, noise=None):
        readable = y.isfinite() | observed
        return self.inner.fit(z, y, observed=torch.ones_like(observed) & readable, noise=noise)


def build(params, context):
    return Credulous(sound_gp.build(params, context))
