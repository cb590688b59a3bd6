"""Kinds that come with somebody's own distribution: found by entry points, in every process of a campaign."""

from __future__ import annotations

import json
import os
import sys
import textwrap

import pandas as pd
import pytest
from tiny_campaigns import emt_campaign

from campaigns.kinds import GROUPS, available_kinds
from campaigns.records import Measured
from campaigns.store import CampaignStore

MODULES = {
    "oracle": '''
        """Length of the cell's longest edge."""
        import os
        from pathlib import Path
        from pydantic import Field
        from campaigns.records import Measured, Property
        from campaigns.spec import Strict
        from optimizer.measuring import one_by_one

        class Params(Strict):
            """In what unit."""
            scale: float = Field(1.0, gt=0, description="Factor of the length.")

        class Edge:
            version = "edge-1"
            properties = (Property("longest_edge_ang", "angstrom", "Longest edge of the cell"),)
            nominal_seconds = 0.01

            def __init__(self, scale):
                self.scale = scale

            def evaluate(self, xs, *, seed):
                return one_by_one(xs, self.measure)

            def measure(self, crystal):
                with open(Path(__file__).with_name("processes"), "a") as file:
                    file.write(f"{os.getpid()}\\n")
                return Measured({"longest_edge_ang": self.scale * max(crystal.lattice.abc)}, crystal)

        def build(params, context):
            return Edge(params.scale)
    ''',
    "acquisition": '''
        """The last rows of the pool."""
        import torch
        from pathlib import Path
        from campaigns.spec import Strict

        class Params(Strict):
            """Nothing to choose."""

        class Last:
            def propose(self, fitted, objective, context, *, q, seed):
                with open(Path(__file__).with_name("models"), "a") as file:
                    file.write(f"{type(fitted).__name__}\\n")
                return torch.arange(len(context.pool)).flip(0)[:q]

        def build(params, context=None):
            return Last()
    ''',
    "surrogate": '''
        """Gaussian processes that are hardly tuned."""
        from dataclasses import dataclass
        from botorch.models.model import Model
        from campaigns.spec import Strict
        from surrogates.models import exact_gp
        from surrogates.protocols import NO_HINTS
        from surrogates.protocols import FitReport

        class Params(Strict):
            """Nothing to choose."""

        @dataclass(frozen=True)
        class HastyFit:
            model: Model
            report: FitReport

        class Hasty:
            def __init__(self, inner):
                self.inner = inner

            def fit(self, z, y, *, observed, noise=None, hints=NO_HINTS):
                fitted = self.inner.fit(z, y, observed=observed, noise=noise, hints=hints)
                return HastyFit(fitted.model, fitted.report)

        def build(params, context):
            return Hasty(exact_gp.build(exact_gp.Params(max_steps=1), context))
    ''',
    "generator": '''
        """The bundled generator, renamed."""
        from campaigns.spec import Strict
        from generative.models import wyckoff_vae

        class Params(Strict):
            """Nothing to choose."""

        class Renamed:
            def __init__(self, inner):
                self.inner = inner

            def __getattr__(self, name):
                return getattr(self.inner, name)

            @property
            def version(self):
                return "their_" + self.inner.version

        def build(params, context):
            return Renamed(wyckoff_vae.build(wyckoff_vae.Params(), context))
    ''',
    "start": '''
        """Alloys in the structure of CuAu."""
        from pymatgen.core import Structure
        from campaigns.spec import Strict
        from optimizer.protocols import StartCrystal

        class Params(Strict):
            """Nothing to choose."""

        class Alloys:
            limit = None
            allow_known = True

            def crystals(self, generator, space, *, seed):
                for pair, a, c in ((["Cu", "Au"], 2.8, 3.7), (["Ni", "Ag"], 3.0, 4.2), (["Pd", "Al"], 2.9, 3.9)):
                    cell = [[a, 0, 0], [0, a, 0], [0, 0, c]]
                    yield StartCrystal(Structure(cell, pair, [[0, 0, 0], [0.5, 0.5, 0.5]]), source="alloy")

        def build(params, context):
            return Alloys()
    ''',
    "executor": '''
        """Two processes, however many are asked for."""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from campaigns.spec import Strict

        class Params(Strict):
            """Nothing to choose."""

        class Two:
            count = 2

            def start(self, initializer, initargs):
                spawn = multiprocessing.get_context("spawn")
                return ProcessPoolExecutor(2, mp_context=spawn, initializer=initializer, initargs=initargs)

        def build(params, context):
            return Two()
    ''',
    "representation": '''
        """The bundled representation, renamed."""
        from generative.representations.wyckoff import Params, build
    ''',
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution with one kind `theirs` of each role, and one that lacks a package."""
    site = tmp_path / "site"
    metadata = site / "their_kinds-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kinds\nVersion: 1.0\n")
    points = []
    for role, text in MODULES.items():
        (site / f"their_{role}.py").write_text(textwrap.dedent(text))
        points += [f"[latentore.{GROUPS[role]}]", f"theirs = their_{role}"]
        points += ["unusable = their_unusable"] if role == "oracle" else []
    (site / "their_unusable.py").write_text("import a_package_nobody_has\n")
    (metadata / "entry_points.txt").write_text("\n".join(points) + "\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [*(f"their_{role}" for role in MODULES), "their_unusable"]:
        sys.modules.pop(name, None)


def test_they_are_listed_with_their_parameters_and_what_is_wrong_with_them(optimize, installed):
    for role in GROUPS:
        assert "theirs" in available_kinds(role)
        code, out, _ = optimize("kinds", role)
        assert code == 0
        assert "theirs" in out
    out = optimize("kinds", "oracle")[1]
    assert "Factor of the length." in out
    assert "a_package_nobody_has" in out
    schema = json.loads(optimize("schema")[1])
    by_kind = {each["properties"]["kind"]["const"]: each for each in schema["$defs"]["oracle"]["oneOf"][1:]}
    assert by_kind["theirs"]["properties"]["scale"]["default"] == 1.0


def test_a_campaign_of_nothing_but_theirs(optimize, write, installed, tmp_path):
    campaign = emt_campaign(
        oracles=[{"kind": "theirs", "scale": 2.0}],
        objectives={"longest_edge_ang": "minimize"},
        generator="theirs",
        surrogate="theirs",
        acquisition="theirs",
        start=["theirs"],
        executor="theirs",
    )
    path = write(campaign)
    code, out, err = optimize("check", path)
    assert (code, err) == (0, "")
    assert "8 calls of theirs in batches of 3" in out
    assert optimize("run", path, "-q") == (0, "", "")

    with CampaignStore.open(tmp_path / "runs" / "emt") as store:
        first, outcomes = store.candidates(0), store.outcomes()
        assert [(c.arm, c.parent) for c in first] == [("theirs", "alloy")] * 3
        assert {c.generator_version.partition("-")[0] for c in store.candidates()} == {"their_wyckoff_vae"}
        for c in store.candidates():
            (stage,) = outcomes[c.id]
            assert (stage.stage, stage.oracle_version) == ("theirs", "edge-1")
            assert isinstance(stage.outcome, Measured)
            assert stage.outcome.values["longest_edge_ang"] == pytest.approx(2 * max(c.crystal.lattice.abc))
        assert store.spent().calls == 8
    assert set((installed / "models").read_text().split()) == {"HastyFit"}
    asked = (installed / "processes").read_text().split()
    assert len(asked) == 8
    assert str(os.getpid()) not in asked
    assert pd.read_csv(tmp_path / "runs" / "emt" / "export" / "ranking.csv")["longest_edge_ang"].is_monotonic_increasing


def test_a_kind_that_is_no_longer_installed_is_refused_by_its_path(optimize, write, installed, monkeypatch):
    path = write(emt_campaign(oracles=["theirs"], objectives={"longest_edge_ang": "minimize"}))
    assert optimize("check", path)[0] == 0
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(installed)])
    code, _, err = optimize("run", path)
    assert code == 2
    assert "oracles.0.kind: unknown 'theirs'" in err
