"""Latents to codes under the grammar, in batches: greedy, or sampled at a temperature.

Sampling adds Gumbel noise of scale T to the logits before the largest is taken, which draws from softmax(logits / T):
of space groups, positions and elements. Coordinates are the most probable ones of what was drawn: noise in them would
be a strain that a relaxation takes out again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from campaigns.records import FailureCode
from generative.batches import Batch
from generative.canonical import WyckoffCode
from generative.coordinate_bins import N_BINS, coordinate_mode
from generative.datasets import MAX_ORBITS
from generative.grammar import STOP, Grammar, Partial
from generative.lattice_shape import lattice_from_shape
from generative.networks import Decoder, VaeNetwork
from generative.protocols import DecodeFailure
from generative.sites import primitive_cells
from generative.spacing import keep_apart

DEAD_END = DecodeFailure(FailureCode.DECODE_DEAD_END, "the search space left no way to finish the crystal")


@torch.no_grad()
def decode_codes(
    network: VaeNetwork, z: Tensor, grammar: Grammar, *, temperature: float = 0.0, seed: int = 0, chunk: int = 512
) -> list[WyckoffCode | DecodeFailure]:
    """The code of each raw (not whitened) latent `z [n, d]`, float32, on the network's device: the most probable one
    orbit by orbit, or above temperature 0 one drawn by `seed`."""
    network.eval()
    found: list[WyckoffCode | DecodeFailure] = [DEAD_END] * len(z)
    groups = torch.as_tensor(grammar.group_mask(), device=z.device)
    if not groups.any() or not len(z):
        return found
    choice = _Choice(temperature, torch.Generator().manual_seed(seed))
    for decoder, rows, latents in network.routed(z):
        for index, part in zip(rows.split(chunk), latents.split(chunk), strict=True):
            logits = choice.perturbed(decoder.space_group(part)).masked_fill(~groups, -torch.inf)
            decoded = _Decoding(decoder, part, logits.argmax(-1), grammar, choice).run()
            for row, code in zip(index.tolist(), decoded, strict=True):
                found[row] = code
    return found


@dataclass(frozen=True)
class _Choice:
    """How one of several is chosen by its logits."""

    temperature: float
    noise: torch.Generator

    def perturbed(self, logits: Tensor) -> Tensor:
        if not self.temperature:
            return logits
        drawn = torch.empty(logits.shape).exponential_(generator=self.noise).log_()
        return logits - self.temperature * drawn.to(logits.device)

    def among(self, logits: Tensor, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        allowed = torch.as_tensor(mask, device=logits.device)
        return self.perturbed(logits).masked_fill(~allowed, -torch.inf).argmax(-1).cpu().numpy()


class _Decoding:
    """One batch while it is decoded; rows leave when they stop or reach a dead end."""

    def __init__(self, decoder: Decoder, z: Tensor, numbers: Tensor, grammar: Grammar, choice: _Choice) -> None:
        n, width = len(z), MAX_ORBITS
        self.choice = choice
        self.decoder, self.sites = decoder, decoder.sites
        self.z, self.numbers, self.grammar = z, numbers, grammar
        self.condition = self.decoder.from_z(z) + self.decoder.group(numbers)
        self.every_position = self.sites.of_group(numbers)
        self.every_element = self.sites.all_elements()
        self.present = self.decoder.composition(z)
        self.partials = [Partial(int(number)) for number in numbers]
        self.positions = torch.zeros(n, width, dtype=torch.long, device=z.device)
        self.elements = torch.zeros_like(self.positions)
        self.coords = torch.zeros(n, width, 3, device=z.device)
        self.scores = torch.zeros(n, width, 3, N_BINS, device=z.device)
        self.states = torch.zeros(n, width, self.condition.shape[1], device=z.device)  # after each orbit
        self.stopped = np.zeros(n, dtype=bool)

    def run(self) -> list[WyckoffCode | DecodeFailure]:
        rows, previous = np.arange(len(self.z)), torch.zeros_like(self.condition)
        heads = self.decoder.body.layers[0].self_attn.num_heads
        shape = len(rows), heads, MAX_ORBITS + 1, self.condition.shape[1] // heads
        memory = [(self.z.new_zeros(shape), self.z.new_zeros(shape)) for _ in self.decoder.body.layers]
        for step in range(MAX_ORBITS + 1):
            token = previous + self.condition[self._index(rows)] + self.decoder.order.weight[step]
            hidden = self.decoder.next_hidden(token, step, memory)
            if step:
                self.states[self._index(rows), step - 1] = hidden
            going, previous = self._step(rows, step, hidden)
            if not len(going):
                break
            rows, kept = rows[going], self._index(going)
            if len(kept) < len(token):
                memory = [(keys[kept], values[kept]) for keys, values in memory]
        return self._codes()

    def _index(self, rows: NDArray[np.int64]) -> Tensor:
        return torch.as_tensor(rows, device=self.z.device)

    def _step(self, rows: NDArray[np.int64], step: int, hidden: Tensor) -> tuple[NDArray[np.int64], Tensor]:
        """Decode orbit number `step` of the given rows: which of them go on, and their embedded orbits."""
        hidden = hidden[:, None]
        masks = np.array([self.grammar.position_mask(self.partials[i]) for i in rows])
        index = self._index(rows)
        logits = self.decoder.position_logits(hidden, self.numbers[index], self.every_position[index])[:, 0]
        choice = self.choice.among(logits, masks)
        self.stopped[rows[choice == STOP]] = True
        going = np.flatnonzero((choice != STOP) & masks.any(axis=1))
        if not len(going) or step == MAX_ORBITS:
            return rows[:0], hidden
        rows, choice = rows[going], choice[going]
        index, hidden = self._index(rows), hidden[self._index(going)]
        numbers = self.numbers[index]
        position = self._index(choice)[:, None]
        embedded = self.every_position[index[:, None], position]
        masks = np.array(
            [self.grammar.element_mask(self.partials[i], j) for i, j in zip(rows, choice.tolist(), strict=True)]
        )
        elements = self.choice.among(self.decoder.element_logits(hidden, embedded, self.present[index])[:, 0], masks)
        element = self._index(elements)[:, None]
        of_element = self.every_element[element]
        free = self.sites.free[numbers[:, None], position]
        moving = free.any(-1)[:, 0]
        coords = torch.zeros_like(free)
        if moving.any():
            logits = self.decoder.coord_logits(hidden[moving], embedded[moving], of_element[moving])
            coords[moving] = coordinate_mode(logits) * free[moving]
            self.scores[index[moving], step] = torch.log_softmax(logits[:, 0], dim=-1)
        self.positions[index, step], self.elements[index, step] = position[:, 0], element[:, 0]
        self.coords[index, step] = coords[:, 0]
        for row, j, z in zip(rows, choice.tolist(), elements.tolist(), strict=True):
            self.partials[row] = self.partials[row].with_orbit(j, z)
        return going, (embedded + of_element + self.sites.of_coords(numbers, position, coords))[:, 0]

    def _codes(self) -> list[WyckoffCode | DecodeFailure]:
        """The lattice, then the coordinates under the condition that atoms keep apart in it."""
        done = np.flatnonzero(self.stopped)
        found: list[WyckoffCode | DecodeFailure] = [DEAD_END] * len(self.partials)
        if not len(done):
            return found
        counts = np.array([self.partials[i].orbits for i in done])
        index, width = self._index(done), int(counts.max())
        numbers, positions, elements = self.numbers[index], self.positions[index, :width], self.elements[index, :width]
        coords = self.coords[index, :width]
        batch = Batch(numbers, self._index(counts), positions, elements, coords, coords.new_zeros(len(done), 6))
        shape = self.decoder.shape(self.z[index], batch, self.states[index, :width]).double().cpu().numpy()
        group = numbers.cpu().numpy()
        lattices = lattice_from_shape(shape, group, np.array([self.partials[i].atoms for i in done]))
        arrays = positions.cpu().numpy(), elements.cpu().numpy(), coords.double().cpu().numpy()
        places = keep_apart(
            group, counts, *arrays, primitive_cells(group, lattices), self.scores[index, :width].double().cpu().numpy()
        )
        for row, i in enumerate(done):
            k = counts[row]
            found[i] = WyckoffCode(
                self.partials[i].number, arrays[0][row, :k], arrays[1][row, :k], places[row, :k], lattices[row]
            )
        return found
