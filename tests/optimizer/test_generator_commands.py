"""`optimize train` and `optimize evaluate-generator`: exit codes, one message, JSON that is only JSON."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from generative import latent_quality, sample_quality


@pytest.fixture
def salts(tmp_path):
    """Five alkali halides as a CSV."""
    fcc = Lattice([[0.0, 2.8, 2.8], [2.8, 0.0, 2.8], [2.8, 2.8, 0.0]])
    crystals = [Structure(fcc, list(pair), [[0, 0, 0], [0.5] * 3]) for pair in ("KF", "KI", ("Na", "Cl"), ("Li", "F"))]
    pd.DataFrame({"cif": [x.to(fmt="cif") for x in crystals]}).to_csv(tmp_path / "salts.csv", index=False)
    return tmp_path / "salts.csv"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "none.csv", "--out", "o"], "none.csv: no such file or folder. Give .csv"),
        (["--data", "salts.csv", "--out", "o", "--label", "gap=gap_ev"], "has no column 'gap'"),
        (["--data", "salts.csv", "--out", "o", "--set", "wdth=3"], "unknown 'wdth'; choose one of latent"),
        (["--data", "salts.csv", "--out", "salts.csv"], "salts.csv: is a file. Give a folder"),
        (["--data", "salts.csv", "--out", "o", "--threads", "1"], "4 usable crystals"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(optimize, salts, arguments, message):
    code, out, err = optimize("train", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "none.csv"], "none.csv: no such file or folder"),
        (["--data", "salts.csv", "--weights", "nowhere"], "--weights: "),
        (["--data", "salts.csv", "--out", "salts.csv"], "salts.csv: is a file"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(optimize, salts, arguments, message):
    code, out, err = optimize("evaluate-generator", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err


def test_the_bundled_generator_is_evaluated_on_a_few_crystals(optimize, salts, monkeypatch):
    monkeypatch.setattr(sample_quality, "TERNARY_SYSTEMS", 1)
    monkeypatch.setattr(sample_quality, "TERNARY_LATENTS", 4)
    monkeypatch.setattr(latent_quality, "SEGMENTS", 1)
    monkeypatch.setattr(latent_quality, "SPEED_LATENTS", 4)
    arguments = ["--data", salts, "--samples", "6", "--threads", "1", "--out", "page"]
    code, out, err = optimize("evaluate-generator", *arguments, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["figures"]["match"]["n"] == 4
    assert found["figures"]["z_invariant"]["value"] == 1.0
    assert found["figures"]["sample_new"]["value"] is not None  # the bundled table of known materials was asked
    assert (salts.parent / "page" / "evaluation.html").stat().st_size > 1_000_000  # plotly.js is inside
    code, out, err = optimize("evaluate-generator", *arguments)
    assert (code, err) == (0, "")
    for part in ("sample_valid", "StructureMatcher(stol=0.5", "page/evaluation.html"):
        assert part in out
