"""Stiff and light at once within 0.1 eV/atom of the hull: the area that the front of bulk modulus and density
dominates; cells of at most 8 atoms. The packaged campaign `multi` with any elements that are neither radioactive nor
noble gases.
"""

from __future__ import annotations

from pydantic import Field

from benchmarks.search.campaign_task import CampaignTask, campaign_task
from benchmarks.search.protocols import TaskContext
from campaigns.spec import Strict

CALLS = 200  # of a run, unless it is told otherwise


class Params(Strict):
    """How the hull is judged."""

    competing_phases: int = Field(0, ge=0, description="As in the oracle `energy_above_hull`.")


def build(params: Params, context: TaskContext) -> CampaignTask:
    hull = {"kind": "energy_above_hull", "competing_phases": params.competing_phases}
    return campaign_task(
        {
            "name": "stiff_and_light",
            "space": {"n_elements": [1, 4], "n_atoms": [2, 8]},
            "oracles": ["relax", "density", hull, "bulk_modulus"],
            "objectives": {"bulk_modulus_gpa": "maximize", "density_g_cm3": "minimize"},
            "constraints": {"energy_above_hull_ev_atom": {"max": 0.1}},
        },
        context,
    )
