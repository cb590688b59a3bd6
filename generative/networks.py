"""The networks of the Wyckoff VAE: a permutation-invariant encoder and an autoregressive decoder over orbits.

Shapes: B crystals, K orbits (padded), D latent dimensions, W model width. Padding is marked by `n_orbits`.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from campaigns.elements import SYMBOLS
from generative.datasets import Codes
from generative.sites import MAX_POSITIONS
from generative.symmetry import space_group

N_ELEMENTS = len(SYMBOLS) + 1  # index 0 is padding
N_BINS = 64
COORD_KAPPA = 180.0  # von Mises concentration of a coordinate target: a standard deviation of 0.012 periods
SYSTEMS = {  # which of (log b/a, log c/a, cos alpha, cos beta, cos gamma) a lattice system leaves free
    "cubic": (0, 0, 0, 0, 0),
    "tetragonal": (0, 1, 0, 0, 0),
    "hexagonal": (0, 1, 0, 0, 0),
    "orthorhombic": (1, 1, 0, 0, 0),
    "monoclinic": (1, 1, 0, 1, 0),
    "triclinic": (1, 1, 1, 1, 1),
}
LOG_RATIOS = (-3.0, 3.0)  # bounds of the logarithms of ratios of lengths
# and of the cube root of the volume per atom (0.2 to 1000 cubic angstrom): no crystal lies beyond
LOG_SIZES = (math.log(0.2) / 3, math.log(1000) / 3)
LATTICE_SCALE = (0.02, 0.05, 0.05, 0.05, 0.05, 0.05)  # errors that count as one unit in the lattice loss


def version_of_weights(data: bytes) -> str:
    """Name of stored weights, by their content."""
    return "wyckoff_vae-" + hashlib.sha256(data).hexdigest()[:12]


@dataclass(frozen=True)
class Batch:
    """Codes as tensors: long `space_group [B]`, `n_orbits [B]`, `positions`/`elements [B, K]`; float
    `coords [B, K, 3]`, `shape [B, 6]` (log of the cube root of the volume per atom, then the five shape terms of
    SYSTEMS)."""

    space_group: Tensor
    n_orbits: Tensor
    positions: Tensor
    elements: Tensor
    coords: Tensor
    shape: Tensor

    @property
    def mask(self) -> Tensor:
        """True where an orbit is real, `[B, K]`."""
        return torch.arange(self.positions.shape[1], device=self.n_orbits.device) < self.n_orbits[:, None]


@cache
def _group_tables() -> tuple[np.ndarray, np.ndarray]:
    """By space-group number: primitive over conventional volume `[231]`, free shape terms `[231, 5]`."""
    groups = [space_group(number) for number in range(1, 231)]
    volume = np.array([1.0, *(abs(np.linalg.det(g.primitive)) for g in groups)])
    return volume, np.array([(0,) * 5, *(SYSTEMS[g.system] for g in groups)])


def lattice_shape(codes: Codes) -> np.ndarray:
    """The six regressed lattice numbers of every code, `[n, 6]`; fixed ones are zero."""
    a, b, c = codes.lattice[:, :3].T
    cosines = np.cos(np.radians(codes.lattice[:, 3:]))
    ca, cb, cg = cosines.T
    volume = a * b * c * np.sqrt(np.clip(1 + 2 * ca * cb * cg - ca**2 - cb**2 - cg**2, 1e-9, None))
    primitive, free = _group_tables()
    volume = volume * primitive[codes.space_group]
    shape = np.column_stack([np.log(volume / codes.n_atoms()) / 3, np.log(b / a), np.log(c / a), cosines])
    shape[:, 1:] *= free[codes.space_group]
    return shape


def lattice_from_shape(shape: np.ndarray, numbers: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    """Inverse of `lattice_shape`: `[n, 6]`, space groups `[n]`, atoms in the primitive cell `[n]` -> `[n, 6]` a, b, c
    (angstrom), alpha, beta, gamma (degrees)."""
    primitive, free = _group_tables()
    terms = shape[:, 1:] * free[numbers]
    ratios = np.exp(np.clip(np.column_stack([np.zeros(len(shape)), terms[:, :2]]), *LOG_RATIOS))
    cosines = np.clip(terms[:, 2:], -0.95, 0.95)
    cosines[(numbers >= 143) & (numbers <= 194), 2] = -0.5
    cosines = _closing(cosines)
    unit = ratios.prod(axis=1) * np.sqrt(_openness(cosines))
    volume = np.exp(3 * np.clip(shape[:, 0], *LOG_SIZES)) * n_atoms / primitive[numbers]
    return np.column_stack([np.cbrt(volume / unit)[:, None] * ratios, np.degrees(np.arccos(cosines))])


FLATTEST = 0.05  # squared volume of a cell of unit edges: reduced cells of real crystals are far above it


def _openness(cosines: np.ndarray) -> np.ndarray:
    """Squared volume of cells of unit edges, `[n, 3]` cosines -> `[n]`; negative where no cell closes."""
    return 1 + 2 * cosines.prod(axis=1) - (cosines**2).sum(axis=1)


def _closing(cosines: np.ndarray) -> np.ndarray:
    """Cosines shrunk together, a tenth at a time, until the cell closes and is not flat."""
    cosines = cosines.copy()
    while (flat := _openness(cosines) < FLATTEST).any():
        cosines[flat] *= 0.9
    return cosines


def to_batch(codes: Codes, device: torch.device) -> Batch:
    def long(x: np.ndarray) -> Tensor:
        return torch.as_tensor(x, dtype=torch.long, device=device)

    width = max(int(codes.n_orbits.max()), 1)
    return Batch(
        long(codes.space_group),
        long(codes.n_orbits),
        long(codes.positions[:, :width]),
        long(codes.elements[:, :width]),
        torch.as_tensor(codes.coords[:, :width], dtype=torch.float32, device=device),
        torch.as_tensor(lattice_shape(codes), dtype=torch.float32, device=device),
    )


def _site_tables() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per space group and position: exists `[231, 27]`, free slots `[231, 27, 3]`, features `[231, 27, 6]`, and the
    template (linear part, then sine and cosine of the shift and of its double) `[231, 27, 21]`."""
    exists = torch.zeros(231, MAX_POSITIONS, dtype=torch.bool)
    free = torch.zeros(231, MAX_POSITIONS, 3)
    features = torch.zeros(231, MAX_POSITIONS, 6)
    template = torch.zeros(231, MAX_POSITIONS, 21)
    for number in range(1, 231):
        group = space_group(number)
        largest = int(group.multiplicities.max())
        for j, position in enumerate(group.positions):
            exists[number, j] = True
            free[number, j, list(position.free)] = 1
            size = int(group.multiplicities[j])
            features[number, j] = torch.tensor(
                [math.log(size), math.log(largest / size), len(position.free), *free[number, j].tolist()]
            )
            angles = 2 * math.pi * np.concatenate([position.shift, 2 * position.shift])
            template[number, j] = torch.tensor(
                np.concatenate([position.linear.ravel(), np.sin(angles), np.cos(angles)]), dtype=torch.float32
            )
    return exists, free, features, template


class SiteEmbedding(nn.Module):
    """Embeds (space group, position), elements and free coordinates; shared by encoder and decoder."""

    exists: Tensor
    free: Tensor
    features: Tensor
    template: Tensor
    element_features: Tensor

    def __init__(self, width: int, element_features: Tensor) -> None:
        super().__init__()
        for name, table in zip(("exists", "free", "features", "template"), _site_tables(), strict=True):
            self.register_buffer(name, table, persistent=False)
        self.register_buffer("element_features", element_features)
        self.position = nn.Embedding(231 * MAX_POSITIONS, width)
        self.position_features = nn.Linear(6, width)
        self.position_template = nn.Linear(21, width, bias=False)
        self.element = nn.Embedding(N_ELEMENTS, width)
        self.element_linear = nn.Linear(element_features.shape[1], width)
        self.coordinate = nn.Linear(3 * 8, width)
        nn.init.normal_(self.position.weight, std=0.1)
        nn.init.normal_(self.element.weight, std=0.1)
        nn.init.zeros_(self.position_template.weight)

    def of_positions(self, space_group: Tensor, positions: Tensor) -> Tensor:
        """`[B]`, `[B, K]` -> `[B, K, W]`."""
        number = space_group[:, None].expand_as(positions)
        return (
            self.position(number * MAX_POSITIONS + positions)
            + self.position_features(self.features[number, positions])
            + self.position_template(self.template[number, positions])
        )

    def of_group(self, space_group: Tensor) -> Tensor:
        """All positions of each space group, `[B, 27, W]`."""
        every = torch.arange(MAX_POSITIONS, device=space_group.device).expand(len(space_group), -1)
        return self.of_positions(space_group, every)

    def all_elements(self) -> Tensor:
        """`[N_ELEMENTS, W]`."""
        return self.element.weight + self.element_linear(self.element_features)

    def of_coords(self, space_group: Tensor, positions: Tensor, coords: Tensor) -> Tensor:
        """Periodic features of the free coordinates, `[B, K, W]`."""
        angles = 2 * math.pi * coords[..., None] * torch.tensor([1.0, 2.0, 4.0, 8.0], device=coords.device)
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)  # [B, K, 3, 8]
        free = self.free[space_group[:, None].expand_as(positions), positions]
        return self.coordinate((waves * free[..., None]).flatten(-2))

    def forward(self, batch: Batch) -> Tensor:
        """`[B, K, W]`."""
        return (
            self.of_positions(batch.space_group, batch.positions)
            + self.all_elements()[batch.elements]
            + self.of_coords(batch.space_group, batch.positions, batch.coords)
        )


def _transformer(width: int, heads: int, layers: int, dropout: float) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)


def _mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, outputs))


class Encoder(nn.Module):
    """Orbits as a set (no order is encoded) plus one global token -> mean and log variance, each `[B, D]`."""

    def __init__(self, sites: SiteEmbedding, width: int, heads: int, layers: int, latent: int, dropout: float) -> None:
        super().__init__()
        self.sites = sites
        self.group = nn.Embedding(231, width)
        self.lattice = nn.Linear(6, width)
        self.body = _transformer(width, heads, layers, dropout)
        self.out = nn.Linear(2 * width, 2 * latent)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        whole = self.group(batch.space_group) + self.lattice(batch.shape)
        tokens = torch.cat([whole[:, None], self.sites(batch)], dim=1)
        mask = F.pad(batch.mask, (1, 0), value=True)
        hidden = self.body(tokens, src_key_padding_mask=~mask)
        summed = (hidden[:, 1:] * batch.mask[..., None]).sum(1) / 4.0
        mean, log_variance = self.out(torch.cat([hidden[:, 0], summed], dim=-1)).chunk(2, dim=-1)
        return mean, log_variance.clamp(-12, 2)


class Decoder(nn.Module):
    """z -> space group; then orbit by orbit position (or stop), element, coordinates; then the lattice."""

    def __init__(self, sites: SiteEmbedding, width: int, heads: int, layers: int, latent: int, dropout: float) -> None:
        super().__init__()
        self.sites = sites
        self.space_group = _mlp(latent, 2 * width, 231)
        self.group = nn.Embedding(231, width)
        self.from_z = _mlp(latent, 2 * width, width)
        self.order = nn.Embedding(64, width)
        self.body = _transformer(width, heads, layers, dropout)
        self.to_position = nn.Linear(width, width)
        self.to_stop = nn.Linear(width, 1)
        self.to_element = _mlp(2 * width, width, width)
        self.composition = _mlp(latent, 2 * width, N_ELEMENTS)
        self.to_coords = _mlp(3 * width, 2 * width, 3 * N_BINS)
        self.element_volume = nn.Embedding(N_ELEMENTS, 1)
        self.to_shape = _mlp(4 * width, 2 * width, 6)
        nn.init.constant_(self.element_volume.weight, math.log(18.0) / 3)
        last = self.composition[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, -3.0)  # about one element in twenty is present

    def hidden(self, z: Tensor, space_group: Tensor, previous: Tensor) -> Tensor:
        """`previous [B, T, W]` embeddings of the orbits so far -> state before each next orbit, `[B, T + 1, W]`."""
        condition = (self.from_z(z) + self.group(space_group))[:, None]
        steps = previous.shape[1] + 1
        tokens = F.pad(previous, (0, 0, 1, 0)) + condition + self.order(torch.arange(steps, device=z.device))
        causal = torch.triu(torch.ones(steps, steps, dtype=torch.bool, device=z.device), diagonal=1)
        return self.body(tokens, mask=causal, is_causal=True)

    def next_hidden(self, token: Tensor, step: int, memory: list[tuple[Tensor, Tensor]]) -> Tensor:
        """What `hidden` gives for its last place, from that place's token alone, `[B, W]` -> `[B, W]`.

        `memory` holds the keys and values `[B, heads, T, W / heads]` of every layer for the places before; those of
        this place are written into it at `step`.
        """
        for layer, (keys, values) in zip(self.body.layers, memory, strict=True):
            attention = layer.self_attn
            inner = layer.norm1(token)
            projected = F.linear(inner, attention.in_proj_weight, attention.in_proj_bias)
            query, key, value = projected.unflatten(-1, (3, attention.num_heads, -1)).unbind(1)
            keys[:, :, step], values[:, :, step] = key, value
            seen = slice(0, step + 1)
            heard = F.scaled_dot_product_attention(query[:, :, None], keys[:, :, seen], values[:, :, seen])
            token = token + attention.out_proj(heard.flatten(1))
            token = token + layer.linear2(F.gelu(layer.linear1(layer.norm2(token))))
        assert self.body.norm is not None
        return self.body.norm(token)

    def position_logits(self, hidden: Tensor, space_group: Tensor, embedded: Tensor) -> Tensor:
        """`hidden [B, T, W]`, every position of the group `embedded [B, 27, W]` (`sites.of_group`) -> `[B, T, 28]`, the
        last being stop; positions the group lacks are -inf."""
        query = self.to_position(hidden)
        scores = query @ embedded.transpose(1, 2) / math.sqrt(query.shape[-1])
        scores = scores.masked_fill(~self.sites.exists[space_group][:, None], -torch.inf)
        return torch.cat([scores, self.to_stop(hidden)], dim=-1)

    def element_logits(self, hidden: Tensor, position: Tensor, present: Tensor) -> Tensor:
        """`hidden`, embedded `position [B, T, W]`, `present [B, N_ELEMENTS]` (logits of the crystal holding each
        element, from `composition`) -> `[B, T, N_ELEMENTS]`, padding -inf."""
        query = self.to_element(torch.cat([hidden, position], dim=-1))
        scores = query @ self.sites.all_elements().T + present[:, None]
        return torch.cat([torch.full_like(scores[..., :1], -torch.inf), scores[..., 1:]], dim=-1)

    def coord_logits(self, hidden: Tensor, position: Tensor, element: Tensor) -> Tensor:
        """`[B, T, 3, N_BINS]`."""
        return self.to_coords(torch.cat([hidden, position, element], dim=-1)).unflatten(-1, (3, N_BINS))

    def shape(self, z: Tensor, batch: Batch, hidden: Tensor) -> Tensor:
        """The six lattice numbers given every orbit, `[B, 6]`; `hidden [B, K, W]`."""
        numbers = torch.exp(self.sites.features[batch.space_group[:, None], batch.positions][..., :1])
        share = numbers * batch.mask[..., None]
        share = share / share.sum(1, keepdim=True)
        composition = (share * self.sites.all_elements()[batch.elements]).sum(1)
        state = (share * hidden).sum(1)
        inputs = torch.cat([self.from_z(z), self.group(batch.space_group), composition, state], dim=-1)
        shape = self.to_shape(inputs)
        base = (share * self.element_volume(batch.elements)).sum(1)
        return torch.cat([shape[:, :1] * 0.1 + base, shape[:, 1:]], dim=-1)

    def reconstruction(self, z: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Negative log likelihood of every part, nats per crystal `[B]`, teacher-forced."""
        sites, mask = self.sites, batch.mask
        hidden = self.hidden(z, batch.space_group, sites(batch))
        logits = self.position_logits(hidden, batch.space_group, sites.of_group(batch.space_group))
        target = F.pad(batch.positions, (0, 1)).masked_fill(~F.pad(mask, (0, 1)), MAX_POSITIONS)
        steps = torch.arange(target.shape[1], device=z.device) <= batch.n_orbits[:, None]
        positions = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        before = hidden[:, :-1]
        position = sites.of_positions(batch.space_group, batch.positions)
        present = self.composition(z)
        element_logits = self.element_logits(before, position, present)
        elements = F.cross_entropy(element_logits.transpose(1, 2), batch.elements, reduction="none", ignore_index=0)
        element = sites.all_elements()[batch.elements]
        free = sites.free[batch.space_group[:, None].expand_as(batch.positions), batch.positions] * mask[..., None]
        moving = free.any(-1)  # most orbits have no free coordinate: spare them the widest head
        coords = torch.zeros_like(batch.coords)
        coords[moving] = coordinate_loss(
            self.coord_logits(before[moving], position[moving], element[moving]), batch.coords[moving]
        )
        scale = torch.tensor(LATTICE_SCALE, device=z.device)
        error = (self.shape(z, batch, hidden[:, 1:]) - batch.shape) / scale
        allowed = _free_shape(batch.space_group)
        return {
            "space_group": F.cross_entropy(self.space_group(z), batch.space_group, reduction="none"),
            "positions": (positions * steps).sum(1),
            "elements": (elements * mask).sum(1),
            "composition": F.binary_cross_entropy_with_logits(
                present[:, 1:], _present(batch.elements), reduction="none"
            ).sum(1),
            "coords": (coords * free).sum((1, 2)),
            "lattice": (F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none") * allowed).sum(1),
        }


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(nn.LayerNorm(width), *_mlp(width, width, width))

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.change(hidden)


class BlurredDecoder(nn.Module):
    """A decoder for latents that are no encodings, such as samples of the prior; see `generative.prior_training`.

    It moves a latent towards encodings first. `blur_logit` says which latents are its own.
    """

    def __init__(self, decoder: Decoder, latent: int, width: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.move = nn.Sequential(
            nn.Linear(latent, width), _Residual(width), _Residual(width), nn.LayerNorm(width), nn.Linear(width, latent)
        )
        self.blur = nn.Sequential(nn.Linear(latent, width), nn.GELU(), nn.LayerNorm(width), *_mlp(width, width, 1))
        last = self.move[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def sharpened(self, z: Tensor) -> Tensor:
        """`[B, D]` -> `[B, D]`: what `decoder` takes."""
        return z + self.move(z)

    def blur_logit(self, z: Tensor) -> Tensor:
        """Above zero where z is rather a blurred latent than an encoding, `[B]`."""
        return self.blur(z)[:, 0]

    def reconstruction(self, z: Tensor, batch: Batch) -> dict[str, Tensor]:
        """As `Decoder.reconstruction`, of blurred latents."""
        return self.decoder.reconstruction(self.sharpened(z), batch)


class VaeNetwork(nn.Module):
    """Encoder, a decoder of encodings and one of all other latents, and a linear property head on z."""

    property_mean: Tensor
    property_std: Tensor
    white_mean: Tensor
    white_scale: Tensor

    def __init__(
        self,
        *,
        latent: int,
        width: int,
        heads: int,
        layers: int,
        n_properties: int,
        element_features: Tensor,
        dropout: float = 0.0,
        denoiser: int = 512,
    ) -> None:
        super().__init__()
        sites = SiteEmbedding(width, element_features)
        self.encoder = Encoder(sites, width, heads, layers, latent, dropout)
        self.decoder = Decoder(sites, width, heads, layers, latent, dropout)
        self.blurred = BlurredDecoder(Decoder(sites, width, heads, layers, latent, 0.0), latent, denoiser)
        with warnings.catch_warnings():  # without labels the head is empty, and torch says so
            warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
            self.properties = nn.Linear(latent, n_properties)
        self.register_buffer("property_mean", torch.zeros(n_properties))
        self.register_buffer("property_std", torch.ones(n_properties))
        self.register_buffer("white_mean", torch.zeros(latent, dtype=torch.float64))
        self.register_buffer("white_scale", torch.eye(latent, dtype=torch.float64))

    def routed(self, z: Tensor) -> list[tuple[Decoder, Tensor, Tensor]]:
        """Each decoder with the rows of `z [B, D]` that are its own `[b]` and what it is to decode of them `[b, D]`."""
        blurred = self.blurred.blur_logit(z) > 0
        own, others = (~blurred).nonzero()[:, 0], blurred.nonzero()[:, 0]
        parts = [(self.decoder, own, z[own])]
        if len(others):  # most calls of a search have encodings alone
            parts.append((self.blurred.decoder, others, self.blurred.sharpened(z[others])))
        return [part for part in parts if len(part[1])]

    def whitened(self, raw: Tensor) -> Tensor:
        """`raw [B, D]` of the encoder -> latents of zero mean and unit covariance over the training crystals."""
        return torch.linalg.solve_triangular(self.white_scale, (raw.double() - self.white_mean).T, upper=False).T

    def unwhitened(self, z: Tensor) -> Tensor:
        """The inverse of `whitened`."""
        return z.double() @ self.white_scale.T + self.white_mean


_FREE_SHAPE = torch.tensor([[0] * 6, *([1, *SYSTEMS[space_group(n).system]] for n in range(1, 231))])


def _free_shape(numbers: Tensor) -> Tensor:
    return _FREE_SHAPE.to(numbers.device)[numbers]


def _present(elements: Tensor) -> Tensor:
    """`[B, K]` atomic numbers, 0 for padding -> 1 where the crystal holds the element, `[B, N_ELEMENTS - 1]`."""
    held = torch.zeros(len(elements), N_ELEMENTS, device=elements.device)
    return held.scatter_(1, elements, 1.0)[:, 1:]


def coordinate_loss(logits: Tensor, coords: Tensor) -> Tensor:
    """Cross entropy against a von Mises density on N_BINS periodic bins, minus its entropy; 0 is a perfect answer.

    `logits [..., 3, N_BINS]`, `coords [..., 3]` -> `[..., 3]` nats.
    """
    centres = torch.arange(N_BINS, device=coords.device) / N_BINS
    weight = COORD_KAPPA * (torch.cos(2 * math.pi * (coords[..., None] - centres)) - 1)
    target = torch.softmax(weight, dim=-1)
    entropy = -(target * torch.log_softmax(weight, dim=-1)).sum(-1)
    return -(target * torch.log_softmax(logits, dim=-1)).sum(-1) - entropy


def coordinate_mode(logits: Tensor) -> Tensor:
    """The periodic mean of the five bins around the most probable one: `[..., bins]` -> `[...]` in [0, 1)."""
    best = logits.argmax(-1, keepdim=True)
    offsets = torch.arange(-2, 3, device=logits.device)
    weight = torch.softmax(logits.gather(-1, (best + offsets) % N_BINS), dim=-1)
    return ((best[..., 0] + (weight * offsets).sum(-1)) / N_BINS) % 1.0
