"""Files from people one should not trust: code, ways out of a folder, bombs, and words that other programs obey."""

from __future__ import annotations

import csv
import gzip
import json
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from ase.calculators.morse import MorsePotential
from pymatgen.core import Lattice, Structure
from tiny_campaigns import emt_campaign, probed_campaign

from campaigns import contents as file_contents
from campaigns.artifacts import Artifacts
from campaigns.errors import LedgerError, SpecError, UserError, in_one_line
from campaigns.records import Candidate, Measured, StageOutcome
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from generative.datasets import Codes
from generative.models.wyckoff_vae import bundled_weights
from generative.plots import _figure
from generative.training import Trainer
from optimizer import outages
from optimizer.calculators import CalculatorParams, potential
from optimizer.export import export_campaign
from optimizer.handing_out import HandedOut, write_folder
from optimizer.predictor_tables import _load
from optimizer.references import Novelty, ReferenceTable

FORMULA = "=cmd|' /C calc'!A0"
MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
CELL = Structure(Lattice.cubic(3.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


@pytest.fixture
def trap(tmp_path) -> Callable[[], Path]:
    """Where code that ran would leave a trace; no test may."""
    place = tmp_path / "code_ran"
    yield lambda: place
    assert not place.exists()


# -- code


@pytest.mark.parametrize(
    ("calculator", "arguments"),
    [
        ("subprocess:Popen", {"args": ["mkdir", "code_ran"]}),
        ("os:mkdir", {"path": "code_ran"}),
        ("builtins:exec", {}),
        ("pandas:read_pickle", {"filepath_or_buffer": "payload.pkl"}),
        ("ase.io:read", {"filename": "payload.pkl"}),
    ],
)
def test_a_calculator_is_a_class_of_calculators_and_nothing_else_is_called(
    trap, tmp_path, monkeypatch, calculator, arguments
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "payload.pkl").write_bytes(pickle.dumps(Payload(trap())))
    with pytest.raises(ValueError, match="is no class of ASE calculators"):
        potential(CalculatorParams(calculator=calculator, calculator_args=arguments), "cpu")


def test_a_function_that_says_it_makes_a_calculator_is_one():
    assert potential(CalculatorParams(calculator="test_bad_friends:morse"), "cpu").calculator is not None


def morse() -> MorsePotential:
    return MorsePotential()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_weights_that_are_a_pickle_are_refused_unread(optimize, write, trap, tmp_path, protocol):
    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copy(bundled_weights() / "settings.json", weights)
    (weights / "model.safetensors").write_bytes(pickle.dumps(Payload(trap()), protocol))
    generator = {"kind": "wyckoff_vae", "weights": str(weights)}
    code, out, err = optimize("check", write(emt_campaign(generator=generator)))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "holds no generator of this version" in err


@pytest.mark.parametrize("settings", ["{", "[]", "{}", '{"latent": -1}', '{"latent": 1e99, "width": 1}'])
def test_settings_that_do_not_fit_the_weights_are_refused(optimize, write, tmp_path, settings):
    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copy(bundled_weights() / "model.safetensors", weights)
    (weights / "settings.json").write_text(settings)
    code, _, err = optimize("check", write(emt_campaign(generator={"kind": "wyckoff_vae", "weights": str(weights)})))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "holds no generator of this version" in err


def test_arrays_that_carry_objects_are_refused_unread(trap, tmp_path):
    path = tmp_path / "held_out.npz"
    np.savez(path, **{name: np.array([Payload(trap())], dtype=object) for name in Codes.__dataclass_fields__})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Codes.load(path)
    np.savez(path, said=np.array([Payload(trap())], dtype=object))
    assert _load(path) is None  # what a predictor keeps is made again


def test_a_checkpoint_that_carries_code_is_refused_unread(trap, tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"network": Payload(trap())}, path)
    with pytest.raises(UserError, match="is no checkpoint of this training"):
        Trainer._go_on(SimpleNamespace(checkpoint=path))


def test_looking_at_a_strangers_run_runs_nothing_of_it(optimize, trap, tmp_path):
    spec = parse_spec(probed_campaign("theirs"))
    (tmp_path / "probe.py").write_text("import os\nos.mkdir('code_ran')\n")
    with CampaignStore.create(tmp_path / "runs" / "theirs", spec, provenance={}) as store:
        store.finish_phase(0, "start", candidates=[Candidate("a", 0, "test", CELL, None, "g")])
        values = {"bulk_ang3_atom": 13.5}
        store.record("a", [StageOutcome("python", "1", Measured(values, CELL))])
    for command in ("status", "export"):
        assert optimize(command, "theirs")[0] == 0


# -- ways out of a folder


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "", "A" * 64, "0" * 63])
def test_an_artifact_has_the_name_of_a_hash(tmp_path, name):
    with pytest.raises(LedgerError, match="names no artifact"):
        Artifacts(tmp_path).path(name)


@pytest.mark.parametrize("name", ["../../up", "/abs", "a/b", "..", "-o", "a\nb", "", "x" * 65])
def test_a_candidate_has_a_name_that_stays_in_its_folder(tmp_path, name):
    folder = tmp_path / "run"
    with CampaignStore.create(folder, parse_spec(emt_campaign()), provenance={}) as store:
        with pytest.raises(ValueError, match="is no id of a candidate"):
            store.finish_phase(0, "start", candidates=[Candidate(name, 0, "test", CELL, None, "g")])
        store.finish_phase(0, "start", candidates=[Candidate("a", 0, "test", CELL, None, "g")])
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        ledger.execute("update candidates set id = ?", (name,))
        ledger.commit()
    with CampaignStore.open(folder) as store, pytest.raises(LedgerError, match="No latentore wrote it"):
        store.candidates()


def test_a_relaxed_crystal_lies_beside_its_table(optimize, tmp_path):
    external = {"kind": "external", "properties": {"gap_ev": "eV"}}
    campaign = emt_campaign("told", oracles=[external], objectives={"gap_ev": "maximize"})
    (tmp_path / "told.yaml").write_text(json.dumps(campaign))
    with CampaignStore.create(tmp_path / "runs" / "told", parse_spec(campaign), provenance={}) as store:
        store.finish_phase(0, "start", candidates=[Candidate("a", 0, "test", CELL, None, "g")])
        store.await_outside("a", ())
    table = tmp_path / "tables" / "results.csv"
    table.parent.mkdir()
    CELL.to(str(tmp_path / "secret.cif"))
    (table.parent / "pipe.cif").symlink_to("/dev/zero")
    for name in ("../secret.cif", str(tmp_path / "secret.cif"), "pipe.cif", "../../../../dev/zero"):
        table.write_text(f"candidate,gap_ev [eV],relaxed_file\na,1.5,{name}\n")
        code, _, err = optimize("tell", "told.yaml", table)
        assert code == 2
        assert "lies outside the table's folder" in err
    with CampaignStore.open(tmp_path / "runs" / "told") as store:
        assert store.outcomes() == {}


# -- bombs and huge numbers


def test_what_unpacks_to_more_than_a_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(file_contents, "LARGEST_BYTES", 100_000)
    bomb = tmp_path / "known.csv.gz"
    bomb.write_bytes(gzip.compress(b"material_id,formula,space_group,fingerprint,energy_ev_atom\n" + b"0" * 10_000_000))
    with pytest.raises(UserError, match="larger than 100,000 bytes once it is unpacked"):
        ReferenceTable.load(own=(bomb,))
    (tmp_path / "large.csv").write_bytes(b"0" * 200_000)
    with pytest.raises(UserError, match="is larger than 100,000 bytes"):
        ReferenceTable.load(own=(tmp_path / "large.csv",))
    with pytest.raises(UserError, match="is no file"):
        ReferenceTable.load(own=("/dev/zero",))


@pytest.mark.parametrize("value", ["1e31", "-1e308", "1e999"])
def test_no_property_is_as_large_as_that(value):
    from optimizer.manifest import _finite

    assert _finite(value) is None


# -- what other programs obey


def named_by_a_stranger(store: CampaignStore) -> None:
    parents = [FORMULA, "@SUM(A1)", "\t-1+1", MARKUP]
    cells = [CELL.copy().scale_lattice(30.0 + 2 * n) for n in range(len(parents))]
    candidates = [Candidate(f"c{n}", 0, "test", cells[n], None, "g", parent) for n, parent in enumerate(parents)]
    store.finish_phase(0, "start", candidates=candidates)
    for each in candidates:
        store.record(each.id, [StageOutcome("density", "1", Measured({"density_g_cm3": 2.0}, each.crystal))])


def test_no_cell_of_a_list_is_a_formula(tmp_path):
    spec = parse_spec(emt_campaign(space={}, oracles=["density"]))
    with CampaignStore.create(tmp_path / "run", spec, provenance={}) as store:
        named_by_a_stranger(store)
        export_campaign(store, novelty=lambda crystal: Novelty(True, FORMULA, 1.0, "composition"))
    text = (tmp_path / "run" / "export" / "ranking.csv").read_text()
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    assert [cell for cell in cells if cell.lstrip()[:1] in "=+@" and cell] == []
    assert f"'{FORMULA}" in cells
    write_folder(tmp_path / "asked", [HandedOut("c0", CELL)], [])
    assert "'" not in (tmp_path / "asked" / "manifest.csv").read_text()


def test_rows_that_were_refused_hold_no_formula():
    from generative.training_set import refused_rows

    empty = SimpleNamespace(n_atoms=lambda: np.array([99]), row=[0], take=lambda chosen: empty)
    nobody = pd.DataFrame(columns=["row", "name", "code", "reason"])
    found = refused_rows(SimpleNamespace(names=[FORMULA]), SimpleNamespace(codes=empty, refused=nobody), 20)
    assert found["name"].tolist() == [f"'{FORMULA}"]


def test_a_page_shows_names_and_obeys_none():
    from plotly.io import to_html

    assert "<script>alert" not in to_html(_figure([], MARKUP, MARKUP, MARKUP), full_html=False, include_plotlyjs=False)


def test_a_message_is_one_line_that_no_terminal_obeys():
    error = SpecError("name", "is '\x1b[2J\u202e\x07'\n and more\r\nof it" + "x" * 5000, "Change\nit.")
    text = str(error)
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert r"\x1b[2J\u202e\x07" in text
    assert len(text) < 2100
    assert text.endswith("Change it.")
    assert in_one_line("a\n b") == "a b"


@pytest.mark.parametrize(
    "name", ["; touch x", "$(touch x)", "`x`", "..", "-rf", "a b", "a\nb", "=1+1", "<b>", "a" * 65]
)
def test_a_campaign_is_named_with_letters_and_digits(name):
    with pytest.raises(SpecError):
        parse_spec(emt_campaign(name))


# -- what a machine lacks


def test_an_outage_is_found_behind_other_exceptions():
    try:
        try:
            raise OSError(28, "No space left on device", "runs/x")
        except OSError as full:
            raise RuntimeError("cannot save") from full
    except RuntimeError as error:
        found = outages.outage(error)
    assert str(found).startswith("runs/x: the disk is full. Make room. Everything measured is kept")
    assert outages.outage(ValueError("something else")) is None
