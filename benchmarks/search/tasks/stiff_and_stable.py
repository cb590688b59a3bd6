"""The stiffest crystals within 0.1 eV/atom of the hull: bulk modulus by CHGNet, cells of at most 8 atoms, any elements
that are neither radioactive nor noble gases.
"""

from __future__ import annotations

from pydantic import Field

from benchmarks.search.campaign_task import CampaignTask, campaign_task
from benchmarks.search.protocols import TaskContext
from campaigns.spec import Strict

CALLS = 300  # of a run, unless it is told otherwise


class Params(Strict):
    """How the hull is judged."""

    competing_phases: int = Field(0, ge=0, description="As in the oracle `energy_above_hull`.")


def build(params: Params, context: TaskContext) -> CampaignTask:
    hull = {"kind": "energy_above_hull", "competing_phases": params.competing_phases}
    return campaign_task(
        {
            "name": "stiff_and_stable",
            "space": {"n_elements": [1, 4], "n_atoms": [2, 8]},
            "oracles": ["relax", hull, "bulk_modulus"],
            "objectives": {"bulk_modulus_gpa": "maximize"},
            "constraints": {"energy_above_hull_ev_atom": {"max": 0.1}},
        },
        context,
    )
