"""CHGNet on many crystals in one pass, graphs included. Importing this module loads torch and chgnet.

chgnet makes the graph of one crystal at a time on the CPU, which would take longer than a GPU needs for all the rest.
Here the neighbours, bonds and angles of a batch are a few tensor operations on the device the model is on; the
layers and their weights are chgnet's own (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from chgnet.model import CHGNet
from chgnet.model.model import BatchedGraph
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class CrystalBatch:
    """b crystals with a atoms in all; the atoms of one crystal stand together, crystals in order."""

    numbers: Tensor  # int64 [a], atomic numbers
    owners: Tensor  # int64 [a], which crystal an atom belongs to
    fractional: Tensor  # float64 [a, 3]
    cells: Tensor  # float64 [b, 3, 3], rows are lattice vectors in angstrom

    @classmethod
    def of(
        cls, crystals: Sequence[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]], device: torch.device
    ) -> CrystalBatch:
        """From `(numbers [n], fractional [n, 3], cell [3, 3])` of each crystal."""
        numbers, fractional, cells = zip(*crystals, strict=True)
        sizes = torch.tensor([len(each) for each in numbers])
        return cls(
            torch.as_tensor(np.concatenate(numbers), dtype=torch.int64, device=device),
            torch.repeat_interleave(torch.arange(len(sizes)), sizes).to(device),
            torch.as_tensor(np.concatenate(fractional), dtype=torch.float64, device=device),
            torch.as_tensor(np.stack(cells), dtype=torch.float64, device=device),
        )

    @property
    def sizes(self) -> Tensor:
        """Atoms of each crystal, int64 `[b]`."""
        return torch.bincount(self.owners, minlength=len(self.cells))

    @property
    def volumes(self) -> Tensor:
        """In cubic angstrom, float64 `[b]`."""
        return torch.linalg.det(self.cells).abs()


@dataclass(frozen=True)
class Bonds:
    """Every pair of atoms closer than a cutoff, once: from `first` to the image of `second` in cell `images`."""

    first: Tensor  # int64 [p], index of an atom in the batch
    second: Tensor  # int64 [p]
    images: Tensor  # float64 [p, 3], whole numbers
    lengths: Tensor  # float64 [p], angstrom

    def degrees(self, atoms: int) -> Tensor:
        """How many ends of bonds each atom has, int64 `[atoms]`."""
        return torch.bincount(self.first, minlength=atoms) + torch.bincount(self.second, minlength=atoms)


@dataclass(frozen=True)
class Prediction:
    """What CHGNet says of a batch, float64."""

    energies: Tensor  # [b], eV/atom
    forces: Tensor  # [a, 3], eV/angstrom
    stresses: Tensor  # [b, 3, 3], eV/angstrom^3, positive where the cell wants to shrink


def find_bonds(batch: CrystalBatch, cutoff: float) -> Bonds:
    """All pairs within `cutoff` angstrom, an atom's own images included.

    The number of images looked at follows from the distance between lattice planes, so any shape of cell is right.
    """
    sizes, volumes, cells = batch.sizes, batch.volumes, batch.cells
    normals = torch.cross(cells[:, [1, 2, 0]], cells[:, [2, 0, 1]], dim=-1)
    spacings = volumes[:, None] / normals.norm(dim=-1)  # [b, 3]
    reach = (cutoff / spacings + 0.5).floor().long()  # of differences that were wrapped into [-0.5, 0.5]
    crystal, pair = _expanded(sizes * sizes)
    starts = sizes.cumsum(0) - sizes
    row, column = pair // sizes[crystal], pair % sizes[crystal]
    upper = row <= column
    crystal, first, second = crystal[upper], (starts[crystal] + row)[upper], (starts[crystal] + column)[upper]

    widths = 2 * reach + 1
    counts = widths.prod(dim=1)[crystal]
    pairs, image = _expanded(counts)
    kept = (first != second)[pairs] | (image > counts[pairs] // 2)  # of an atom's own images one of each opposite two
    pairs, image = pairs[kept], image[kept]
    width = widths[crystal[pairs]]
    steps = torch.stack(
        [image // (width[:, 1] * width[:, 2]), image // width[:, 2] % width[:, 1], image % width[:, 2]], dim=1
    )
    difference = (batch.fractional[second] - batch.fractional[first])[pairs]
    images = (steps - reach[crystal[pairs]]).to(difference.dtype) - difference.round()
    vectors = torch.einsum("pi,pij->pj", difference + images, cells[crystal[pairs]])
    lengths = vectors.norm(dim=1)
    near = lengths < cutoff
    return Bonds(first[pairs[near]], second[pairs[near]], images[near], lengths[near])


class BatchedCHGNet:
    """A CHGNet model that takes a batch. The model is shared with whoever else uses it, and left as it is."""

    def __init__(self, model: CHGNet) -> None:
        self.model = model.eval()
        self.cutoff = float(model.graph_converter.atom_graph_cutoff)
        self.angle_cutoff = float(model.graph_converter.bond_graph_cutoff)
        self.heaviest = int(model.atom_embedding.embedding.num_embeddings)
        self.weights = model.atom_embedding.embedding.weight
        composition: Any = model.composition_model
        self.elements = composition.fc.weight.detach()[0].double()  # eV per atom of each element

    @property
    def device(self) -> torch.device:
        return self.weights.device

    def cannot_take(self, numbers: NDArray[Any]) -> str:
        """Why a crystal of these atomic numbers has no energy here; empty where it has one."""
        if len(numbers) and numbers.min() >= 1 and numbers.max() <= self.heaviest:
            return ""
        return f"CHGNet knows the elements 1 to {self.heaviest}, not {sorted(set(map(int, numbers)))}"

    def bonds(self, batch: CrystalBatch) -> Bonds:
        """The bonds that `predict` needs."""
        return find_bonds(batch, self.cutoff)

    def predict(self, batch: CrystalBatch, bonds: Bonds) -> Prediction:
        """Energies, forces and stresses from one pass forward and one back. Every atom must have a bond."""
        strains = torch.zeros_like(batch.cells, requires_grad=True)
        cells = batch.cells @ (torch.eye(3, dtype=strains.dtype, device=strains.device) + strains)
        positions = torch.einsum("ai,aij->aj", batch.fractional, cells[batch.owners])
        energies = self._covalent_energies(batch, bonds, positions, cells)
        along_positions, along_strains = torch.autograd.grad((energies * batch.sizes).sum(), (positions, strains))
        stresses = along_strains / batch.volumes[:, None, None]
        energies = energies.detach() + self._element_energies(batch)
        return Prediction(energies, -along_positions, (stresses + stresses.mT) / 2)

    @torch.no_grad()
    def energies(self, batch: CrystalBatch, bonds: Bonds) -> Tensor:
        """Energies alone, float64 `[b]` in eV/atom, for a third of the time."""
        positions = torch.einsum("ai,aij->aj", batch.fractional, batch.cells[batch.owners])
        return self._covalent_energies(batch, bonds, positions, batch.cells) + self._element_energies(batch)

    def _covalent_energies(self, batch: CrystalBatch, bonds: Bonds, positions: Tensor, cells: Tensor) -> Tensor:
        """What the network says, without the energies of the elements: float64 `[b]`, eV/atom."""
        return self.model._compute(self._graph(batch, bonds, positions, cells))["e"].double()

    def _graph(self, batch: CrystalBatch, bonds: Bonds, positions: Tensor, cells: Tensor) -> BatchedGraph:
        """The graph in chgnet's form: each bond in both directions, and every angle at every atom both ways round.

        Lengths and angles are computed in float64. In float32 the slope of the arc cosine at straight angles makes
        errors of 1e-4 eV/angstrom in chgnet's own forces; what is left here is 2e-6.
        """
        count = len(bonds.first)
        centers = torch.cat([bonds.first, bonds.second])
        neighbours = torch.cat([bonds.second, bonds.first])
        images = torch.cat([bonds.images, -bonds.images])
        undirected = torch.arange(count, device=centers.device)
        shifts = torch.einsum("pi,pij->pj", images, cells[batch.owners[centers]])
        vectors = positions[centers] - positions[neighbours] - shifts
        lengths = vectors.norm(dim=1)
        directions = vectors / lengths[:, None]
        expansion = self.model.bond_basis_expansion
        left, right = self._angles(centers, torch.cat([bonds.lengths, bonds.lengths]), len(batch.owners))
        angles = self.model.angle_basis_expansion(directions[left], directions[right])
        return BatchedGraph(
            atomic_numbers=batch.numbers,
            bond_bases_ag=expansion.rbf_expansion_ag(lengths[:count]).to(self.weights.dtype),
            bond_bases_bg=expansion.rbf_expansion_bg(lengths[:count]).to(self.weights.dtype),
            angle_bases=angles.to(self.weights.dtype),
            batched_atom_graph=torch.stack([centers, neighbours], dim=1),
            batched_bond_graph=torch.stack([centers[left], left % count, right % count], dim=1),
            atom_owners=batch.owners,
            directed2undirected=torch.cat([undirected, undirected]),
            atom_positions=[positions],
            strains=[],
            volumes=batch.volumes,
        )

    def _angles(self, centers: Tensor, lengths: Tensor, atoms: int) -> tuple[Tensor, Tensor]:
        """Ordered pairs of different directed bonds that share their center and are short enough to make an angle."""
        short = (lengths < self.angle_cutoff).nonzero()[:, 0]
        short = short[torch.argsort(centers[short], stable=True)]
        degrees = torch.bincount(centers[short], minlength=atoms)
        starts = degrees.cumsum(0) - degrees
        of, place = _expanded(degrees[centers[short]])
        left = short[of]
        right = short[starts[centers[left]] + place]
        different = left != right
        return left[different], right[different]

    def _element_energies(self, batch: CrystalBatch) -> Tensor:
        """chgnet's linear part: the mean over the atoms of an energy per element, eV/atom `[b]`."""
        total = torch.zeros(len(batch.cells), dtype=torch.float64, device=self.device)
        return total.index_add(0, batch.owners, self.elements[batch.numbers - 1]) / batch.sizes


def _expanded(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For counts `[r]`: the row of each of their sum's items, and the item's place in its row."""
    rows = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    starts = counts.cumsum(0) - counts
    return rows, torch.arange(len(rows), device=counts.device) - starts[rows]
