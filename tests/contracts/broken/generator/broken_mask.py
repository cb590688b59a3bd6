"""Decodes whatever it likes, inside the search space or not."""

from __future__ import annotations

from generative.models.sound_vae import Params, Wrapped, bundled

__all__ = ["Params", "build"]


class Free(Wrapped):
    kind = "broken_mask"

    def decode(self, z, *, within, seed, temperature=0.0):
        return self.inner.decode(z, within=None, seed=seed, temperature=temperature)


def build(params, context=None):
    return Free(bundled(params, context))
