"""What a representation and a generator must do. Shapes: z `[n, d]`, float64, on the CPU at every interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from pymatgen.core import Structure
from torch import Tensor

from campaigns.records import FailureCode
from campaigns.search_space import SearchSpace


@dataclass(frozen=True)
class GeneratorContext:
    """What a generator kind is built with. `folder` is the campaign file's: relative paths start there."""

    device: torch.device
    folder: str = "."


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


@dataclass(frozen=True)
class Alignment:
    """A latent `z [d]` found for a crystal; where `decodes_back` is False, the encoder's mean."""

    z: Tensor
    decodes_back: bool
    steps: int  # of descent; 0 where the encoder's mean does


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

    def decode(
        self, z: Tensor, *, within: SearchSpace | None, seed: int, temperature: float = 0.0
    ) -> list[Structure | DecodeFailure]:
        """`z [n, d]` -> n crystals; every decision the search space forbids is masked.

        At temperature 0 a function of z and the space alone; above it, decisions are drawn by `seed`.
        """
        ...

    def relatives(self, z: Tensor, *, within: SearchSpace | None, seed: int) -> Tensor:
        """`z [n, d]` -> for each row the latent of a crystal that differs from its decode by elements known to replace
        each other, or by a small change of prototype; the row itself where none can be made. `[n, d]`."""
        ...

    def log_prior(self, z: Tensor) -> Tensor:
        """`z [n, d]` -> log density in nats, `[n]`."""
        ...

    def predict(self, z: Tensor) -> dict[str, Tensor]:
        """`z [n, d]` -> property head outputs by property name, each `[n]` in the property's unit."""
        ...

    def align(self, xs: Sequence[Structure], *, within: SearchSpace | None) -> list[Alignment | EncodeFailure]:
        """A latent that decodes to each crystal: the encoder's mean if it does, else found by descent from there."""
        ...

    def refine(self, xs: Sequence[Structure], weights: Sequence[float], *, seed: int) -> Generator:
        """A new generator, retrained on `xs` weighted by `weights` with replay; self is unchanged.

        Raises ValueError where no crystal of positive weight can be encoded, or training diverges.
        """
        ...

    def held_out(self) -> list[Structure]:
        """Crystals that no training has seen, to judge a refinement by; empty where there are none."""
        ...

    def serialized(self) -> bytes:
        """What is learned, for a file; the same weights give the same bytes."""
        ...

    def restored(self, data: bytes) -> Generator:
        """This generator with what `serialized` wrote. Raises ValueError where the bytes are of another one."""
        ...
