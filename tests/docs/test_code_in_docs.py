"""Every Python block of README and docs runs, on a campaign or a crystal that takes seconds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from documentation import DOCS, PAGES, ROOT, blocks, name
from pymatgen.core import Lattice, Structure
from shared_fixtures import caches_of_its_own
from tiny_docs_campaign import tiny_campaign

from campaigns.records import Failed, Measured

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
BLOCKS = {
    "README.md": 1,
    "docs/add-a-kind.md": 2,
    "docs/own-calculator.md": 1,
    "docs/own-property.md": 1,
    "docs/running.md": 1,
}
"""How many there are, by page: each has a test below."""


def run(page: Path, number: int = 0) -> dict[str, Any]:
    """The names that a block defines."""
    found: dict[str, Any] = {"__name__": "block"}
    exec(compile(blocks(page, "python")[number], str(page), "exec", dont_inherit=True), found)
    return found


def test_each_has_a_test_here():
    counts = {name(page): len(blocks(page, "python")) for page in PAGES}
    assert {page: n for page, n in counts.items() if n} == BLOCKS


def test_a_campaign_from_python(tmp_path, monkeypatch):
    """The blocks of the README and of running.md, one after the other on the same campaign."""
    monkeypatch.chdir(tmp_path)
    for file in ("nitrides.yaml", "my_gap.yaml"):
        Path(file).write_text(tiny_campaign("same"))
    best = run(ROOT / "README.md")["best"]
    assert isinstance(best, pd.DataFrame)
    found = run(DOCS / "running.md")
    pd.testing.assert_frame_equal(found["table"], best)
    assert [x.composition.reduced_formula for x in found["crystals"]] == list(best["formula"])
    assert Path("for_a_colleague/same.zip").is_file()


def test_the_function_of_a_property():
    packing = run(DOCS / "own-property.md")["packing"]
    assert packing(SALT) == pytest.approx(4 * (4 / 3 * torch.pi) * (1.8**3 + 1.0**3) / 5.6**3)


def test_the_calculator():
    neon = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.464), ["Ne"], [[0, 0, 0]]).to_ase_atoms()
    neon.calc = run(DOCS / "own-calculator.md")["neon"](cutoff_ang=9.0)
    assert neon.get_potential_energy() / len(neon) == pytest.approx(-0.026, abs=0.003)
    assert neon.get_stress().shape == (6,)


def test_the_oracle():
    module = run(DOCS / "add-a-kind.md")
    oracle = module["build"](module["Params"](factor=2.0), None)
    outcomes = dict(oracle.evaluate([SALT, Structure(Lattice.cubic(4), [], [])], seed=0))
    assert isinstance(outcomes[0], Measured)
    assert outcomes[0].values == {"electronegativity_spread_pauling": pytest.approx(2 * (3.16 - 0.93))}
    assert isinstance(outcomes[1], Failed)


def test_the_acquisition():
    module = run(DOCS / "add-a-kind.md", 1)
    variance = torch.tensor([[1.0], [4.0], [2.0], [3.0]], dtype=torch.float64)
    fitted = SimpleNamespace(model=SimpleNamespace(posterior=lambda z: SimpleNamespace(variance=variance)))
    pending = torch.tensor([False, True, False, False])
    context = SimpleNamespace(pool=torch.zeros(4, 2), device=torch.device("cpu"), already_pending=pending)
    acquisition = module["build"](module["Params"](), None)
    assert acquisition.propose(fitted, None, context, q=3, seed=0).tolist() == [3, 2, 0]


__all__ = ["caches_of_its_own"]
