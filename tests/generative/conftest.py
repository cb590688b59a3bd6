from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from prototypes import PROTOTYPES
from pymatgen.core import Lattice, Structure

from generative.networks import VaeNetwork


@pytest.fixture
def network() -> VaeNetwork:
    """Tiny and untrained."""
    torch.manual_seed(0)
    features = torch.randn(104, 5)
    shape = {"latent": 6, "width": 16, "heads": 2, "layers": 1, "n_properties": 1, "denoiser": 8}
    return VaeNetwork(element_features=features, **shape).eval()


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prototypes as a training table, with a row that holds no CIF, an unreadable one and a disordered crystal."""
    disordered = Structure(Lattice.cubic(4.0), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    cifs = [x.to(fmt="cif") for x in PROTOTYPES.values()]
    rows = pd.DataFrame(
        {
            "cif": [*cifs, "", "data_broken\nloop_\n_cell", disordered.to(fmt="cif")],
            "formula": [x.composition.reduced_formula for x in PROTOTYPES.values()] + ["H2", "H2", "KNaCl2"],
            "formation_energy_per_atom": [-1.0 + 0.1 * i for i in range(len(cifs) + 3)],
        }
    )
    path = tmp_path_factory.mktemp("data") / "table.csv"
    rows.to_csv(path, index=False)
    return path
