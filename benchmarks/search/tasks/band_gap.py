"""A band gap of 1.4 eV within 0.1 eV/atom of the hull: CGCNN's pretrained network with its metal classifier on the
relaxed crystal, cells of at most 8 atoms.
"""

from __future__ import annotations

from pydantic import Field

from benchmarks.search.campaign_task import CampaignTask, campaign_task
from benchmarks.search.protocols import TaskContext
from campaigns.spec import Strict

CALLS = 200  # of a run, unless it is told otherwise


class Params(Strict):
    """The goal, and how the hull is judged."""

    gap_ev: float = Field(1.4, gt=0, description="The gap that is sought (eV).")
    competing_phases: int = Field(0, ge=0, description="As in the oracle `energy_above_hull`.")


def build(params: Params, context: TaskContext) -> CampaignTask:
    hull = {"kind": "energy_above_hull", "competing_phases": params.competing_phases}
    return campaign_task(
        {
            "name": "band_gap",
            "space": {"n_elements": [1, 4], "n_atoms": [2, 8]},
            "oracles": ["relax", hull, {"kind": "cgcnn", "properties": ["band_gap_ev"]}],
            "objectives": {"band_gap_ev": {"target": params.gap_ev}},
            "constraints": {"energy_above_hull_ev_atom": {"max": 0.1}},
        },
        context,
    )
