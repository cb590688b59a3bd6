"""Latents to codes: greedy decoding under the grammar, in batches."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from campaigns.records import FailureCode
from generative.canonical import WyckoffCode
from generative.datasets import MAX_ORBITS
from generative.grammar import STOP, Grammar, Partial
from generative.networks import Batch, VaeNetwork, coordinate_mode, lattice_from_shape
from generative.protocols import DecodeFailure

DEAD_END = DecodeFailure(FailureCode.DECODE_DEAD_END, "the search space left no way to finish the crystal")


@torch.no_grad()
def decode_codes(
    network: VaeNetwork, z: Tensor, grammar: Grammar, chunk: int = 512
) -> list[WyckoffCode | DecodeFailure]:
    """The most probable code of each raw (not whitened) latent `z [n, d]`, float32, on the network's device."""
    network.eval()
    found: list[WyckoffCode | DecodeFailure] = []
    groups = torch.as_tensor(grammar.group_mask(), device=z.device)
    if not groups.any() or not len(z):
        return [DEAD_END] * len(z)
    for part in z.split(chunk):
        logits = network.decoder.space_group(part).masked_fill(~groups, -torch.inf)
        found += _Decoding(network, part, logits.argmax(-1), grammar).run()
    return found


class _Decoding:
    """One batch while it is decoded; rows leave when they stop or reach a dead end."""

    def __init__(self, network: VaeNetwork, z: Tensor, numbers: Tensor, grammar: Grammar) -> None:
        n, width = len(z), MAX_ORBITS
        self.network, self.decoder, self.sites = network, network.decoder, network.decoder.sites
        self.z, self.numbers, self.grammar = z, numbers, grammar
        self.partials = [Partial(int(number)) for number in numbers]
        self.positions = torch.zeros(n, width, dtype=torch.long, device=z.device)
        self.elements = torch.zeros_like(self.positions)
        self.coords = torch.zeros(n, width, 3, device=z.device)
        self.embedded = torch.zeros(n, width, self.decoder.order.embedding_dim, device=z.device)
        self.present = self.decoder.composition(z)
        self.stopped = np.zeros(n, dtype=bool)

    def run(self) -> list[WyckoffCode | DecodeFailure]:
        active = np.arange(len(self.z))
        for step in range(MAX_ORBITS + 1):
            active = self._step(active, step)
            if not len(active):
                break
        return self._codes()

    def _step(self, rows: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """Decode orbit number `step` of the given rows; the rows that go on."""
        index = torch.as_tensor(rows, device=self.z.device)
        numbers = self.numbers[index]
        hidden = self.decoder.hidden(self.z[index], numbers, self.embedded[index, :step])[:, -1:]
        masks = np.array([self.grammar.position_mask(self.partials[i]) for i in rows])
        logits = self.decoder.position_logits(hidden, numbers)[:, 0]
        choice = _masked_argmax(logits, masks)
        self.stopped[rows[choice == STOP]] = True
        going = np.flatnonzero((choice != STOP) & masks.any(axis=1))
        if not len(going) or step == MAX_ORBITS:
            return rows[:0]
        rows, choice = rows[going], choice[going]
        kept = torch.as_tensor(going, device=self.z.device)
        index, numbers, hidden = index[kept], numbers[kept], hidden[kept]
        position = torch.as_tensor(choice, device=self.z.device)[:, None]
        embedded = self.sites.of_positions(numbers, position)
        masks = np.array(
            [self.grammar.element_mask(self.partials[i], int(j)) for i, j in zip(rows, choice, strict=True)]
        )
        elements = _masked_argmax(self.decoder.element_logits(hidden, embedded, self.present[index])[:, 0], masks)
        element = torch.as_tensor(elements, device=self.z.device)[:, None]
        of_element = self.sites.all_elements()[element]
        coords = coordinate_mode(self.decoder.coord_logits(hidden, embedded, of_element))
        coords = coords * self.sites.free[numbers[:, None], position]
        self.positions[index, step], self.elements[index, step] = position[:, 0], element[:, 0]
        self.coords[index, step] = coords[:, 0]
        whole = embedded + of_element + self.sites.of_coords(numbers, position, coords)
        self.embedded[index, step] = whole[:, 0]
        for row, j, z in zip(rows, choice, elements, strict=True):
            self.partials[row] = self.partials[row].with_orbit(int(j), int(z))
        return rows

    def _codes(self) -> list[WyckoffCode | DecodeFailure]:
        counts = torch.tensor([p.orbits for p in self.partials], device=self.z.device)
        batch = Batch(
            self.numbers,
            counts,
            self.positions,
            self.elements,
            self.coords,
            torch.zeros(len(self.z), 6, device=self.z.device),
        )
        hidden = self.decoder.hidden(self.z, self.numbers, self.embedded)[:, 1:]
        shapes = self.decoder.shape(self.z, batch, hidden).double().cpu().numpy()
        positions, elements = self.positions.cpu().numpy(), self.elements.cpu().numpy()
        coords = self.coords.double().cpu().numpy()
        found: list[WyckoffCode | DecodeFailure] = []
        for i, partial in enumerate(self.partials):
            if not self.stopped[i]:
                found.append(DEAD_END)
                continue
            k = partial.orbits
            lattice = lattice_from_shape(shapes[i], partial.number, partial.atoms)
            found.append(WyckoffCode(partial.number, positions[i, :k], elements[i, :k], coords[i, :k], lattice))
        return found


def _masked_argmax(logits: Tensor, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return logits.masked_fill(~torch.as_tensor(mask, device=logits.device), -torch.inf).argmax(-1).cpu().numpy()
