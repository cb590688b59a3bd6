"""Campaigns of every sort from the file to the list, on real crystals with a cheap real potential."""

from __future__ import annotations

import json
import math
import textwrap

import pandas as pd
import pytest
from pymatgen.core import Structure
from tiny_campaigns import EMT, contents, emt_campaign, probed_campaign

import optimizer.oracles
from campaigns.records import Failed, FailureCode, Measured, last_values
from campaigns.spec import load_spec
from campaigns.store import CampaignStore
from optimizer.screening import screen


def listed(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "export" / "ranking.csv")


@pytest.mark.filterwarnings("ignore:.*fractional coordinates rounded to ideal values")  # 0.33333333 is 1/3
def test_from_the_file_to_the_list(optimize, write, tmp_path):
    path = write(emt_campaign())
    code, out, err = optimize("check", path)
    assert (code, err) == (0, "")
    for part in ("7 elements", "relax: 2 s a crystal", "budgeted", "8 calls of relax in batches of 3", "ready to run"):
        assert part in out
    assert not (tmp_path / "runs").exists()

    code, out, err = optimize("run", path)
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if line.strip().partition(" ")[0].endswith("/8")]
    assert [line.split()[0] for line in lines] == [f"{n}/8" for n in range(1, 9)]
    assert all("density_g_cm3" in line or "failed" in line for line in lines)
    assert "8 of 8 calls of relax in" in out
    assert "s a call" in out
    assert out.endswith("Next: optimize report runs/emt\n")

    folder = tmp_path / "runs" / "emt"
    table, spec = listed(folder), load_spec(folder / "campaign.yaml")
    assert str(table["formula"][0]) in out
    assert list(table["density_g_cm3"]) == sorted(table["density_g_cm3"])
    assert set(table["known"]) == {"new"}
    for row in table.to_dict("records"):
        crystal = Structure.from_file(folder / "export" / row["file"])
        assert screen(crystal, spec.space) is None
        assert crystal.density == pytest.approx(row["density_g_cm3"], rel=1e-4)
    later = table[table["round"] > 0]
    assert later["predicted_density_g_cm3_sd"].gt(0).all()
    assert optimize("run", path, "-q") == (0, "", "")  # nothing left to do, nothing done
    assert len(contents(folder)["outcomes"]) == 8


def test_two_objectives_under_a_bound(optimize, write, tmp_path):
    campaign = emt_campaign(
        objectives={"density_g_cm3": "minimize", "energy_ev_atom": "minimize"},
        constraints={"volume_ang3_atom": {"max": 40}},
        acquisition={"kind": "log_nei", "num_samples": 32},
        batch_size=2,
        budget={"oracle_calls": 5},
    )
    assert optimize("run", write(campaign), "-q") == (0, "", "")
    table = listed(tmp_path / "runs" / "emt")
    assert table["feasible"].all()
    best, others = table.iloc[0], table.iloc[1:]
    beaten = (others["density_g_cm3"] < best["density_g_cm3"]) & (others["energy_ev_atom"] < best["energy_ev_atom"])
    assert not beaten.any()


def test_a_target_is_approached(optimize, write, tmp_path):
    assert optimize("run", write(emt_campaign(objectives={"density_g_cm3": {"target": 9.0}})), "-q")[0] == 0
    distance = (listed(tmp_path / "runs" / "emt")["density_g_cm3"] - 9.0).abs()
    assert list(distance) == sorted(distance)


def test_a_campaign_in_which_everything_fails_says_which_stage_did_it(optimize, write, tmp_path):
    """Nobody's fault and nothing to mend in the file: exit code 0, an empty list, and the reason."""
    hopeless = {"kind": "relax", "calculator": EMT, "max_steps": 1, "fmax_ev_per_ang": 1e-6}
    probe = probed_campaign()["oracles"][0] | {"seconds": 60.0}  # the dearest is the one that nothing reaches
    campaign = probed_campaign(oracles=[hopeless, probe])
    code, out, err = optimize("run", write(campaign))
    assert (code, err) == (0, "")
    assert "gave up: 3 rounds in a row brought no call of python" in out
    assert "relax: unconverged" in out
    assert "Nothing to rank yet." in out
    with CampaignStore.open(tmp_path / "runs" / "probed") as store:
        assert store.spent().calls == 0
        assert store.spent().stage_failures["relax"] == 3 + 3 * 3
    status = json.loads(optimize("status", "probed", "--json")[1])
    assert status["failures"]["unconverged"] == 12
    assert status["failures_by_stage"]["relax"] == {"unconverged": 12}
    assert "relax: unconverged 12" in optimize("status", "probed")[1]
    exported = json.loads(optimize("export", "probed", "--json")[1])
    assert (exported["evaluated"], exported["failed"], exported["candidates"]) == (12, 12, [])
    assert exported["failures"] == status["failures_by_stage"]
    assert "relax: unconverged 12." in optimize("export", "probed")[1].splitlines()[-1]


def test_a_space_without_anything_new_starves_and_says_so(optimize, write, tmp_path):
    """LaBi is all there is in this space, and it is known (mp-22926); the seed lies outside."""
    SALT.to(filename=str(tmp_path / "salt.cif"))
    campaign = emt_campaign(
        space={"formula": "LaBi", "space_groups": [225], "n_atoms": 2},
        start=[{"kind": "crystals", "path": "salt.cif"}],
        oracles=["density"],
    )
    assert "1 of 17284 known materials" in optimize("check", write(campaign))[1]
    code, _, err = optimize("run", write(campaign))
    assert code == 2
    assert "gave up: 3 rounds in a row brought no call of density: before any oracle: known 144, outside_space 1" in err
    assert "under `space`" in err
    assert contents(tmp_path / "runs" / "emt")["candidates"] == []


def test_an_oracle_is_one_file(optimize, write, tmp_path, monkeypatch):
    """A kind that latentore has never heard of, found by its file, driven through a campaign."""
    kinds = tmp_path / "kinds"
    kinds.mkdir()
    (kinds / "toy_symmetry.py").write_text(
        textwrap.dedent('''
        """Number of symmetry operations."""
        from campaigns.records import Measured, Property
        from campaigns.spec import Strict
        from optimizer.measuring import one_by_one


        class Params(Strict):
            """How to count."""

            per_atom: bool = False


        class Toy:
            version = "toy-1"
            properties = (Property("operations", "1", "Symmetry operations"),)
            nominal_seconds = 0.01

            def __init__(self, per_atom):
                self.per_atom = per_atom

            def evaluate(self, xs, *, seed):
                return one_by_one(xs, self.measure)

            def measure(self, crystal):
                import moyopy

                cell = moyopy.Cell(crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(),
                                   list(crystal.atomic_numbers))
                count = len(moyopy.MoyoDataset(cell, symprec=0.1).operations)
                return Measured({"operations": count / (len(crystal) if self.per_atom else 1)}, crystal)


        def build(params, context):
            return Toy(params.per_atom)
        ''')
    )
    monkeypatch.setattr(optimizer.oracles, "__path__", [*optimizer.oracles.__path__, str(kinds)])
    campaign = emt_campaign(oracles=[{"kind": "toy_symmetry", "per_atom": True}], objectives={"operations": "maximize"})
    assert optimize("run", write(campaign), "-q") == (0, "", "")
    assert listed(tmp_path / "runs" / "emt")["operations"].is_monotonic_decreasing
    assert "toy_symmetry" in optimize("kinds", "oracle")[1]


# -- where a campaign may begin

COPPER_GOLD = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
NICKEL_SILVER = Structure([[3.0, 0, 0], [0, 3.0, 0], [0, 0, 4.2]], ["Ni", "Ag"], [[0, 0, 0], [0.5, 0.5, 0.5]])
SALT = Structure.from_spacegroup(225, [[5.6, 0, 0], [0, 5.6, 0], [0, 0, 5.6]], ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


def test_seed_crystals_are_screened_and_measured(optimize, write, tmp_path):
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for name, crystal in (("a", COPPER_GOLD), ("b", NICKEL_SILVER), ("c", SALT), ("d", COPPER_GOLD)):
        crystal.to(filename=str(seeds / f"{name}.cif"))
    (seeds / "e.cif").write_text("no crystal")
    code, out, err = optimize("run", write(emt_campaign(start=[{"kind": "crystals", "path": "seeds"}])))
    assert (code, err) == (0, "")
    assert "crystals gave 2 crystals" in out
    for part in ("outside_space 1", "duplicate 1", "decode_invalid 1"):
        assert part in out
    with CampaignStore.open(tmp_path / "runs" / "emt") as store:
        first = store.candidates(0)
        assert [(c.parent, c.z) for c in first] == [("a.cif", None), ("b.cif", None)]  # they were not decoded
        assert {c.id for c in first} <= set(store.latents(first[0].generator_version))
        assert store.outcomes()[first[0].id][0].stage == "relax"
        assert store.spent().calls == 8


def test_known_crystals_from_a_table_may_be_taken_at_random(optimize, write, tmp_path):
    pd.DataFrame({"cif": [COPPER_GOLD.to(fmt="cif"), NICKEL_SILVER.to(fmt="cif")]}).to_csv(
        tmp_path / "known.csv.gz", index=False
    )
    campaign = emt_campaign(start=[{"kind": "crystals", "path": "known.csv.gz", "n": 1}])
    assert optimize("run", write(campaign), "-q")[0] == 0
    with CampaignStore.open(tmp_path / "runs" / "emt") as store:
        assert len(store.candidates(0)) == 1


def test_a_labelled_table_costs_no_call(optimize, write, tmp_path):
    half = Structure(COPPER_GOLD.lattice, [{"Ag": 0.5}], [[0, 0, 0]])
    cifs = [each.to(fmt="cif") for each in (COPPER_GOLD, NICKEL_SILVER, SALT, COPPER_GOLD, half)]
    labels = [COPPER_GOLD.density, NICKEL_SILVER.density, SALT.density, math.nan, 5.0]
    pd.DataFrame({"cif": cifs, "density_g_cm3": labels}).to_csv(tmp_path / "labels.csv", index=False)
    campaign = emt_campaign(start=[{"kind": "table", "path": "labels.csv"}], budget={"oracle_calls": 3})
    code, out, _ = optimize("run", write(campaign))
    assert code == 0
    assert "table gave 3 crystals; not taken: invalid_value 1, encode_unsupported 1" in out
    assert "1 outside the search space" in out  # salt teaches the surrogate and stays off the list
    with CampaignStore.open(tmp_path / "runs" / "emt") as store:
        outcomes = store.outcomes()
        given = [outcomes[c.id] for c in store.candidates(0)]
        assert [len(stages) for stages in given] == [1, 1, 1]
        assert all(isinstance(s[0].outcome, Measured) and s[0].outcome.flags == ("given_value",) for s in given)
        assert store.spent().calls == 3
    assert set(listed(tmp_path / "runs" / "emt")["formula"]) >= {"CuAu", "NiAg"} - {"CuAu"}


def test_an_older_campaign_is_gone_on_with(optimize, write, tmp_path):
    assert optimize("run", write(emt_campaign("older", budget={"oracle_calls": 6})), "-q")[0] == 0
    start = [{"kind": "ledger", "path": "runs/older"}]
    assert optimize("run", write(emt_campaign("newer", start=start, budget={"oracle_calls": 3})), "-q")[0] == 0
    with CampaignStore.open(tmp_path / "runs" / "older") as older, CampaignStore.open(tmp_path / "runs/newer") as newer:
        good = [stages for stages in older.outcomes().values() if not isinstance(stages[-1].outcome, Failed)]
        taken = [newer.outcomes()[c.id][0].outcome for c in newer.candidates(0)]
        assert len(taken) == len(good) > 0
        for stages, outcome in zip(good, taken, strict=True):
            assert outcome.values["density_g_cm3"] == last_values(stages)["density_g_cm3"]
            assert outcome.crystal == stages[-1].outcome.crystal  # the relaxed one, to which the values belong
        assert newer.spent().calls == 3
        ids = {c.parent for c in newer.candidates(0)}
        assert all(each.startswith("older 00") for each in ids)


def test_a_start_file_that_changed_is_a_user_error(optimize, write, tmp_path):
    """It was read when the campaign was built; while it runs it is read again."""
    path = tmp_path / "labels.csv"
    pd.DataFrame({"cif": [COPPER_GOLD.to(fmt="cif")], "density_g_cm3": [14.0]}).to_csv(path, index=False)
    campaign = emt_campaign(start=["generator_samples", {"kind": "table", "path": "labels.csv"}])
    path.write_text('cif,density_g_cm3\n"a",1\n"b",1,2,3\n')  # the header is as it was
    code, _, err = optimize("run", write(campaign))
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "start.1" in err


def test_failures_at_the_last_stage_are_charged(optimize, write, tmp_path):
    bad = probed_campaign()
    bad["oracles"][0]["function"] = "probe.py:nonsense"
    path = write(bad)
    (tmp_path / "probe.py").write_text("def nonsense(crystal):\n    return float('nan')\n")
    code, out, _ = optimize("run", path)
    assert code == 0
    assert "8 of 8 calls of python" in out
    with CampaignStore.open(tmp_path / "runs" / "probed") as store:
        codes = {stages[-1].outcome.code for stages in store.outcomes().values()}
    assert codes == {FailureCode.INVALID_VALUE}
