"""Gaussian processes that choose no kernel and hardly tune its hyperparameters. Keep what the suite asks for."""

from __future__ import annotations

from pydantic import Field

from campaigns.spec import Strict
from surrogates.models import exact_gp


class Params(Strict):
    """How long to tune."""

    max_steps: int = Field(5, ge=1, description="L-BFGS-B iterations per outcome.")


def build(params, context):
    return exact_gp.build(exact_gp.Params(kernel="rbf", max_steps=params.max_steps), context)
