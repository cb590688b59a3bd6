"""Where a campaign stands, read while another process drives it."""

from __future__ import annotations

from pymatgen.core import Lattice, Structure

from campaigns.records import Candidate
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.status import campaign_status

COPPER = Structure(Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
SPEC = parse_spec(
    {
        "name": "beside",
        "oracles": ["density"],
        "objectives": {"density_g_cm3": "maximize"},
        "budget": {"oracle_calls": 4},
    }
)


def test_what_is_proposed_and_taken_while_status_reads_is_told(tmp_path, monkeypatch):
    read = CampaignStore.outcomes
    with CampaignStore.create(tmp_path / "run", SPEC, provenance={}) as driver, driver.lock():

        def meanwhile(store, among=None):
            found = read(store, among)
            driver.finish_phase(0, "start", candidates=[Candidate("000-0000", 0, "test", COPPER, None, "test")])
            driver.lease("000-0000")
            return found

        with CampaignStore.open(tmp_path / "run") as store:
            monkeypatch.setattr(CampaignStore, "outcomes", meanwhile)
            found = campaign_status(store)
    assert [each["formula"] for each in found["in_hand"]] == ["Cu"]
    assert found["candidates"]["pending"] == 1
