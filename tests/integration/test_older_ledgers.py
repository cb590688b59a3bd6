"""A run folder that an older version left is looked at, exported and gone on with."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tiny_campaigns import contents

from campaigns.spec import dump_spec
from campaigns.store import CampaignStore
from generative.models import wyckoff_vae

LEDGERS = Path(__file__).parents[1] / "campaigns" / "ledgers"


@pytest.fixture
def first(tmp_path) -> Path:
    """runs/first as schema 1 left it: six calls of relax with EMT, three of them unconverged."""
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)
    shutil.copy(LEDGERS / "schema_1.sqlite", folder / "ledger.sqlite")
    return folder


def test_an_older_ledger_is_shown_and_exported(optimize, first):
    code, out, err = optimize("status", "first", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["state"], found["budget"]["oracle_calls"]) == ("budget spent", 6)
    assert found["failures"] == {"duplicate": 19, "unconverged": 3, "too_close": 3, "known": 1}
    assert found["best"]["formula"] == "Al2Cu"
    code, out, err = optimize("export", "first", "--json")
    assert (code, err) == (0, "")
    assert [line["formula"] for line in json.loads(out)["candidates"]] == ["Al2Cu", "Al3Cu"]


def test_an_older_campaign_goes_on_with_more_budget(optimize, first, tmp_path):
    before = contents(first)
    _as_if_started_with_the_bundled_weights(first)
    with CampaignStore.open(first) as store:
        text = dump_spec(store.spec)
    larger = tmp_path / "first.yaml"
    larger.write_text(text.replace("oracle_calls: 6", "oracle_calls: 8"))
    code, out, err = optimize("run", larger)
    assert (code, err) == (0, "")
    assert "8 of 8 calls of relax" in out
    after = contents(first)
    assert len(after["outcomes"]) == 8
    assert {name: after["outcomes"][name] for name in before["outcomes"]} == before["outcomes"]
    assert {key: after["rounds"][key] for key in before["rounds"]} == before["rounds"]


def _as_if_started_with_the_bundled_weights(folder: Path) -> None:
    """A campaign goes on only with the weights that began it, and those in the package have changed since."""
    version = wyckoff_vae.build(wyckoff_vae.Params()).version
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE generators SET version = ?", (version,))
        ledger.execute("UPDATE candidates SET generator_version = ?", (version,))
