"""A user's table made into a predictor, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Composition

from optimizer import predictor_tables
from optimizer.predictor_tables import PredictorTable
from surrogates.predictors.features import composition_features

FORMULAS = [f"{a}{n}{b}" for a in ("Na", "K", "Mg", "Ca", "Al") for n in (1, 2, 3) for b in ("O", "S", "Cl")]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    predictor_tables._fitted.cache_clear()


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    rows = [f"{formula},{float(Composition(formula).weight) / 10}" for formula in FORMULAS]
    (tmp_path / "table.csv").write_text("\n".join(["formula,label", *rows, "NaX9,3", "NaF,", ""]))
    return tmp_path / "table.csv"


def _open(csv: Path, column: str = "label") -> PredictorTable:
    return PredictorTable.open(csv, column, "formula", "forest", 0.5)


def test_rows_of_no_use_are_counted(csv):
    fitted = _open(csv).fitted()
    assert fitted.errors.n_rows == len(FORMULAS)
    assert fitted.n_refused == 2


def test_a_second_process_reads_features_and_fits_the_same(csv, monkeypatch):
    point = composition_features(Composition("Na2S")), "Na2S", ["Na", "S"]
    first = _open(csv).fitted()
    predictor_tables._fitted.cache_clear()
    monkeypatch.setattr(predictor_tables, "_read", lambda table: pytest.fail("read again"))
    second = _open(csv).fitted()
    assert second.errors == first.errors
    assert second.predictor.predict(*point) == first.predictor.predict(*point)


def test_what_is_kept_is_found_by_content(csv, tmp_path):
    one = _open(csv)
    moved = tmp_path / "moved.csv"
    moved.write_bytes(csv.read_bytes())
    assert _open(moved).content == one.content
    moved.write_text(csv.read_text().replace("NaF,", "NaF,1.5"))
    assert _open(moved).content != one.content


def test_a_broken_cache_is_made_again(csv):
    table = _open(csv)
    file = predictor_tables._cache_file(table)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK no archive")
    assert table.fitted().errors.n_rows == len(FORMULAS)
    assert np.load(file)["labels"].shape == (len(FORMULAS),)


def test_a_missing_column_is_named_with_those_there_are(csv):
    with pytest.raises(ValueError, match=r"no column 'gap'; it has formula, label"):
        _open(csv, "gap").fitted()


def test_a_home_that_cannot_be_written_to_is_no_fault(csv, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert replace(_open(csv), confidence=0.6).fitted().errors.n_formulas == len(FORMULAS)
