"""What README and docs type about crystals of one's own, run as it stands there, on crystals that take seconds."""

from __future__ import annotations

import gzip
import json
import shlex
from itertools import product

import pandas as pd
import pytest
from documentation import DOCS, commands
from pymatgen.core import Lattice, Structure
from pymatgen.ext import matproj
from shared_fixtures import caches_of_its_own, optimize

from generative import latent_quality, sample_quality
from optimizer.references import ReferenceTable

SMALL = {"width": 16, "heads": 2, "layers": 1, "batch": 8, "held_out": 0.2, "prior_steps": 2, "denoiser": 8}
METALS = {"Cu": 3.61, "Au": 4.08, "Ag": 4.09, "Pd": 3.89}


def typed(page: str, *begins: str) -> list[list[str]]:
    """What a page types after `optimize`, of the commands that begin so."""
    return [words[1:] for words in commands(DOCS / page) if words[: 1 + len(begins)] == ["optimize", *begins]]


@pytest.fixture
def metals(tmp_path):
    """Elements and ordered alloys as `my_crystals/`, and the same as `crystals.csv.gz`."""
    crystals = [Structure.from_spacegroup(225, Lattice.cubic(a), [x], [[0, 0, 0]]) for x, a in METALS.items()]
    for left, right in product(METALS, METALS):
        if left != right:
            cell = Lattice.cubic((METALS[left] + METALS[right]) / 2)
            crystals.append(
                Structure(cell, [left, *[right] * 3], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
            )
    (tmp_path / "my_crystals").mkdir()
    for number, crystal in enumerate(crystals):
        crystal.to(str(tmp_path / "my_crystals" / f"{number}.cif"))
    table = pd.DataFrame({"cif": [x.to(fmt="cif") for x in crystals]}).to_csv(index=False)
    (tmp_path / "crystals.csv.gz").write_bytes(gzip.compress(table.encode()))
    return crystals


def test_a_generator_is_trained_and_judged_as_typed(optimize, metals, monkeypatch, tmp_path):
    """With small settings after it, as a reader would add them to try it."""
    for part, name in (
        (sample_quality, "TERNARY_SYSTEMS"),
        (sample_quality, "TERNARY_LATENTS"),
        (latent_quality, "SEGMENTS"),
        (latent_quality, "SPEED_LATENTS"),
    ):
        monkeypatch.setattr(part, name, 2)
    ((train,), (evaluate,)) = typed("own-data.md", "train"), typed("own-data.md", "evaluate-generator")
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    code, _, err = optimize(*train, "--epochs", 1, "--latent", 4, *settings)
    assert code == 0, err
    settings_used = json.loads((tmp_path / "my_vae" / "settings.json").read_text())
    assert settings_used["latent"] == 4
    code, _, err = optimize(*evaluate, "--samples", 4)
    assert code == 0, err
    assert (tmp_path / "my_vae_figures" / "evaluation.html").is_file()


def test_tables_of_known_crystals_are_built_as_typed(optimize, metals, monkeypatch, tmp_path):
    def request(client: object, query: str) -> list[dict[str, object]]:
        return [{"material_id": "mp-30", "structure": metals[0]}] if query.endswith("=Li") else []

    monkeypatch.setattr(matproj.MPRester, "request", request)
    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    (on_a_potential,) = typed("own-calculator.md", "references", "build")
    assert optimize(*on_a_potential)[0] == 0
    assert ReferenceTable.load(tmp_path / "emt.csv.gz").formulas.count("Cu") == 1
    known = {}
    for words in sorted(typed("own-data.md", "references"), key=lambda words: words[1] != "fetch"):
        code, _, err = optimize(*words)
        assert code == 0, (shlex.join(words), err)
        if words[1] == "build":
            known[words[words.index("--data") + 1]] = len(ReferenceTable.load(tmp_path / "known.csv.gz").formulas)
            (tmp_path / "known.csv.gz").unlink()
    assert known == {"my_crystals/": len(metals), "mp.json": 1}


__all__ = ["caches_of_its_own", "optimize"]
