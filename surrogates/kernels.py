"""Covariance functions that a surrogate may choose among, all over inputs scaled to about the unit cube.

`additive`: one Matérn-5/2 with a single length scale per block of columns, summed with weights. Blocks are kinds of
knowledge (latents, composition, bonding), so tens of observations have to fix a handful of numbers, not one per column.
`rbf` and `matern52`: one length scale per column under priors that grow with the dimension (Hvarfner, Hellsten & Nardi,
"Vanilla Bayesian Optimization Performs Great in High Dimensions", ICML 2024). `linear`: a linear kernel on the sphere
that the inputs are projected to, the bounded form of a linear trend (Doumont, Fan, Maus, Gardner, Moss & Pleiss, "We
Still Don't Understand High-Dimensional Bayesian Optimization", 2025). `saas`: Matérn-5/2 under a sparsity prior
(Eriksson & Jankowiak, "High-Dimensional Bayesian Optimization with Sparse Axis-Aligned Subspaces", UAI 2021), at the
mode of its posterior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Literal, get_args

import torch
from botorch.models.map_saas import add_saas_prior
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, MaternKernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from surrogates.protocols import Block

KernelChoice = Literal["auto", "additive", "rbf", "matern52", "linear", "saas"]
KERNELS: tuple[str, ...] = get_args(KernelChoice)[1:]
SHORTEST = 2.5e-2  # length scale, in edges of the cube; keeps the covariance well conditioned
LENGTH = math.log(0.6)  # of one column, in edges of the cube: about two standard deviations of a uniform density
SAAS_TAU = 0.1  # global shrinkage, the value of the paper


def covariance(name: str, blocks: Sequence[Block]) -> Kernel:
    """The kernel `name` over inputs whose columns come in these blocks, unfitted, prior variance about 1.

    Raises KeyError for an unknown name.
    """
    d = sum(block.width for block in blocks)
    return {
        "additive": lambda: BlockAdditiveKernel(blocks),
        "rbf": lambda: get_covar_module_with_dim_scaled_prior(ard_num_dims=d),
        "matern52": lambda: get_covar_module_with_dim_scaled_prior(ard_num_dims=d, use_rbf_kernel=False),
        "linear": lambda: SphericalLinearKernel(d),
        "saas": lambda: add_saas_prior(MaternKernel(nu=2.5, ard_num_dims=d), tau=SAAS_TAU),
    }[name]()


def length_scales(kernel: Kernel) -> list[Tensor]:
    """Every length scale in it, one tensor per part that has any."""
    parts = (part for part in kernel.modules() if isinstance(part, Kernel))
    return [scales for part in parts if (scales := getattr(part, "lengthscale", None)) is not None]


class BlockAdditiveKernel(Kernel):
    """sum over blocks of w_b m(|x_b - x'_b| / l_b), m Matérn-5/2; and v_b <x_b, x'_b> / width for blocks with a trend.

    Written out, because a sum of gpytorch's own kernels is ten times slower here.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        ends = [0, *accumulate(block.width for block in blocks)]
        self.columns = [slice(*pair) for pair in pairwise(ends) if pair[0] < pair[1]]
        kept = [block for block in blocks if block.width]
        self.trends = [place for place, block in enumerate(kept) if block.trend]
        widths = torch.tensor([float(block.width) for block in kept])
        self._positive("length", LENGTH + 0.5 * widths.log(), 1.0, SHORTEST)
        n_parts = len(kept) + len(self.trends)
        self._positive("weight", torch.full((n_parts,), -math.log(n_parts)), 2.0, 1e-6)

    def _positive(self, name: str, location: Tensor, scale: float, least: float) -> None:
        """A parameter `[k]` above `least` under a log-normal prior."""
        self.register_parameter(f"raw_{name}", torch.nn.Parameter(location.exp().clone()))
        self.register_prior(
            f"{name}_prior",
            LogNormalPrior(location, scale),
            lambda kernel: getattr(kernel, f"raw_{name}"),
            lambda kernel, value: kernel.initialize(**{f"raw_{name}": value}),
        )
        self.register_constraint(f"raw_{name}", GreaterThan(least, transform=None))

    @property
    def lengthscale(self) -> Tensor:
        """One per block, `[k]`."""
        return self.raw_length

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Covariance `[..., n, m]`, or its diagonal `[..., n]`."""
        total = x1.new_zeros(())
        for place, columns in enumerate(self.columns):
            scaled = x1[..., columns] / self.raw_length[place], x2[..., columns] / self.raw_length[place]
            distance = self.covar_dist(*scaled, diag=diag, square_dist=False) * 5**0.5
            total = total + self.raw_weight[place] * (1 + distance + distance.square() / 3) * (-distance).exp()
        for number, place in enumerate(self.trends):
            left, right = (x[..., self.columns[place]] - 0.5 for x in (x1, x2))  # about the middle of the cube
            inner = (left * right).sum(-1) if diag else left @ right.transpose(-1, -2)
            total = total + self.raw_weight[len(self.columns) + number] * inner / left.shape[-1]
        return total


class SphericalLinearKernel(Kernel):
    """b0 + b1 <u(x), u(x')> with u the inverse stereographic projection of x / length onto the unit sphere, `[d + 1]`.

    One length scale: with one per column the projection would undo what it bounds.
    """

    has_lengthscale = True

    def __init__(self, d: int) -> None:
        location = LENGTH + 0.5 * math.log(d)
        super().__init__(
            lengthscale_prior=LogNormalPrior(location, 1.0),
            lengthscale_constraint=GreaterThan(SHORTEST, transform=None, initial_value=math.exp(location)),
        )
        self.register_parameter("raw_parts", torch.nn.Parameter(torch.zeros(2)))

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Covariance `[..., n, m]`, or its diagonal `[..., n]`."""
        constant, slope = self.raw_parts.exp()
        left, right = self._on_sphere(x1), self._on_sphere(x2)
        inner = (left * right).sum(-1) if diag else left @ right.transpose(-1, -2)
        return constant + slope * inner

    def _on_sphere(self, x: Tensor) -> Tensor:
        scaled = x / self.lengthscale[..., 0, :]
        norm = scaled.square().sum(-1, keepdim=True)
        return torch.cat([2 * scaled, norm - 1], dim=-1) / (norm + 1)
