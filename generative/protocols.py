"""What a representation and a generator must do. Shapes: z `[n, d]`, float64, on the CPU at every interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pymatgen.core import Structure
from torch import Tensor

from campaigns.records import FailureCode
from campaigns.spec import SearchSpace


@dataclass(frozen=True)
class EncodeFailure:
    """Why a crystal has no code or latent."""

    code: FailureCode
    message: str


@dataclass(frozen=True)
class DecodeFailure:
    """Why a code or latent gives no crystal."""

    code: FailureCode
    message: str


class Representation(Protocol):
    """Crystals <-> codes, invertible. Both directions keep length and order."""

    def featurize(self, xs: Sequence[Structure]) -> list[Any | EncodeFailure]: ...
    def reconstruct(self, codes: Sequence[Any]) -> list[Structure | DecodeFailure]: ...


class Generator(Protocol):
    """A trained model over a representation. Frozen once built."""

    @property
    def latent_dim(self) -> int: ...

    @property
    def version(self) -> str:
        """Content hash of the weights."""
        ...

    def encode(self, xs: Sequence[Structure]) -> list[Tensor | EncodeFailure]:
        """Latent mean of each crystal, `[d]`, same length and order."""
        ...

    def decode(self, z: Tensor, *, within: SearchSpace | None, seed: int) -> list[Structure | DecodeFailure]:
        """`z [n, d]` -> n crystals; every decision the search space forbids is masked."""
        ...

    def log_prior(self, z: Tensor) -> Tensor:
        """`z [n, d]` -> log density in nats, `[n]`."""
        ...

    def predict(self, z: Tensor) -> dict[str, Tensor]:
        """`z [n, d]` -> property head outputs by property name, each `[n]` in the property's unit."""
        ...


class Refinable(Generator, Protocol):
    """A generator that can be retrained inside a campaign."""

    def refine(self, xs: Sequence[Structure], weights: Sequence[float], *, seed: int) -> Refinable:
        """A new generator, retrained on `xs` weighted by `weights` with replay; self is unchanged."""
        ...
