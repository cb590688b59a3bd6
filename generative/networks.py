"""The networks of the Wyckoff VAE: a permutation-invariant encoder and an autoregressive decoder over orbits.

Shapes: B crystals, K orbits (padded), D latent dimensions, W model width. Padding is marked by `n_orbits`.
"""

from __future__ import annotations

import hashlib
import math
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generative.batches import Batch
from generative.coordinate_bins import N_BINS, coordinate_loss
from generative.lattice_shape import SYSTEMS
from generative.site_embedding import N_ELEMENTS, SiteEmbedding
from generative.sites import MAX_POSITIONS
from generative.symmetry import space_group

LATTICE_SCALE = (0.02, 0.05, 0.05, 0.05, 0.05, 0.05)  # errors that count as one unit in the lattice loss


def version_of_weights(data: bytes) -> str:
    """Name of stored weights, by their content."""
    return "wyckoff_vae-" + hashlib.sha256(data).hexdigest()[:12]


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
