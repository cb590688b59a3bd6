"""Every campaign in README and docs passes `check`, beside the files that its page tells the reader to have."""

from __future__ import annotations

import gzip
import json
import os
import re
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from documentation import DOCS, PAGES, blocks, commands, name
from pymatgen.core import Lattice, Structure
from shared_fixtures import caches_of_its_own
from typer.testing import CliRunner

import optimizer.oracles
from campaigns.spec import parse_spec
from campaigns.yaml_files import parse_yaml
from generative import remote_sources
from optimizer.build import build
from optimizer.cli import app

CAMPAIGNS = [
    pytest.param(body, id=f"{name(page)}-{parse_yaml(body)['name']}") for page in PAGES for body in blocks(page, "yaml")
]
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.5), ["Na", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]])
METALS = {"Cu": 3.6, "Au": 4.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the campaigns of the pages name, beside them."""
    place = tmp_path_factory.mktemp("beside")
    table = pd.read_csv(str(files("campaigns").joinpath("templates/example_band_gaps.csv")))
    table.rename(columns={"band_gap_ev": "gap"}).to_csv(place / "gaps.csv", index=False)
    for crystals in ("seeds", "my_crystals"):
        (place / crystals).mkdir()
        for metal, edge in METALS.items():
            crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), [metal], [[0, 0, 0]])
            crystal.to(str(place / crystals / f"{metal}.cif"))
    alloy = Structure(Lattice.tetragonal(2.7, 3.9), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    pd.DataFrame({"cif": [alloy.to(fmt="cif")]}).to_csv(place / "hypothetical.csv.gz", index=False)
    bundled = gzip.decompress(files("optimizer").joinpath("data/reference.csv.gz").read_bytes()).decode()
    (place / "known.csv.gz").write_bytes(gzip.compress("\n".join([*bundled.splitlines()[:20], ""]).encode()))
    (place / "my_vae").symlink_to(str(files("generative").joinpath("weights/wyckoff_vae")))
    for page in PAGES:
        for body in blocks(page, "python"):
            if match := re.match(r"# (\w+\.py)\n", body):
                (place / match[1]).write_text(body)
    (place / "sbatch").touch(mode=0o755)
    (place / "kinds").mkdir()
    (place / "kinds" / "electronegativity_spread.py").write_text(blocks(DOCS / "add-a-kind.md", "python")[0])
    return place


@pytest.fixture(scope="module")
def table_of_emt(folder) -> None:
    """Made with the page's own command."""
    (words,) = [words for words in commands(DOCS / "own-calculator.md") if "references" in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output


@pytest.mark.usefixtures("table_of_emt")
@pytest.mark.parametrize("body", CAMPAIGNS)
def test_it_passes_check(body, folder, tmp_path, monkeypatch):
    if "kind: dask" in body:
        pytest.importorskip("dask_jobqueue")
    if "ledger:" in body:
        pytest.importorskip("psycopg")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(optimizer.oracles, "__path__", [*optimizer.oracles.__path__, str(folder / "kinds")])
    monkeypatch.setenv("LATENTORE_CACHE", str(tmp_path / "cache"))
    fetched = [{"material_id": "1", "structure": json.loads(SALT.to_json())}]
    monkeypatch.setitem(remote_sources.READERS, "optimade", lambda wanted: fetched)
    assert build(parse_spec(parse_yaml(body)), folder).cascade.stages


def test_there_are_campaigns_to_check():
    assert len(CAMPAIGNS) >= 16


__all__ = ["caches_of_its_own"]
