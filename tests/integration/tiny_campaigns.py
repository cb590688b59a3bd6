"""Campaigns small enough for a test, and what their ledgers hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from campaigns.records import Failed, StageOutcome
from campaigns.store import CampaignStore

EMT = "ase.calculators.emt:EMT"
PROBE = """
import os, signal
from pathlib import Path

HERE = Path(__file__).parent

def measure(crystal):
    \"\"\"Volume per atom; does to this process what the file `todo` says: a crystal's turn, then signals.\"\"\"
    with open(HERE / "asked", "a") as file:
        file.write(f"{os.getpid()}\\n")
    todo = HERE / "todo"
    if todo.exists():
        turn, *signals = todo.read_text().split()
        if len((HERE / "asked").read_text().split()) >= int(turn):
            if "always" not in signals:
                todo.unlink()
            for each in signals:
                if each != "always":
                    signal.raise_signal(getattr(signal, each))  # to this thread, handled at once
    return crystal.volume / len(crystal)
"""


def emt_campaign(name: str = "emt", **changes: Any) -> dict[str, Any]:
    """Alloys of the metals EMT knows; tiny. Kernels are chosen as ever, each from few steps: what they are worth is
    tested elsewhere."""
    return {
        "name": name,
        "seed": 3,
        "workers": 1,
        "space": {
            "elements": {"include": ["Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al"]},
            "n_elements": [2, 3],
            "n_atoms": [2, 6],
        },
        "start": [{"kind": "generator_samples", "n": 3}],
        "oracles": [{"kind": "relax", "calculator": EMT}, "volume", "density"],
        "objectives": {"density_g_cm3": "minimize"},
        "surrogate": {"kind": "exact_gp", "max_steps": 4},
        "batch_size": 3,
        "pool_size": 48,
        "budget": {"oracle_calls": 8},
    } | changes


def probed_campaign(name: str = "probed", **changes: Any) -> dict[str, Any]:
    """Asks the function in probe.py, which can be told to send signals to its own process."""
    probe = {"kind": "python", "function": "probe.py:measure", "properties": {"bulk_ang3_atom": "angstrom^3/atom"}}
    wanted = {"oracles": [probe], "objectives": {"bulk_ang3_atom": "minimize"}}
    return emt_campaign(name, **(wanted | changes))


def contents(folder: Path) -> dict[str, Any]:
    with CampaignStore.open(folder) as store:
        candidates = [
            rounded(
                [
                    *(c.id, c.arm, c.parent, c.generator_version, c.crystal.formula, c.z, dict(c.predicted)),
                    *(c.crystal.lattice.matrix.tolist(), c.crystal.frac_coords.tolist()),
                ]
            )
            for c in store.candidates()
        ]
        outcomes = {name: [stage_contents(stage) for stage in stages] for name, stages in store.outcomes().items()}
        rounds = {(r.round, r.phase): (dict(r.failures), rounded(dict(r.figures))) for r in store.rounds()}
        generators = [(g.version, g.accepted, rounded(dict(g.figures))) for g in store.generators()]
        latents = {
            version: {name: (latent.stands_for, rounded(latent.z)) for name, latent in store.latents(version).items()}
            for version, _, _ in generators
        }
    return {
        "candidates": candidates,
        "outcomes": outcomes,
        "rounds": rounds,
        "generators": generators,
        "latents": latents,
    }


def stage_contents(stage: StageOutcome) -> Any:
    outcome = stage.outcome
    said = outcome.code.value if isinstance(outcome, Failed) else rounded(dict(outcome.values))
    return [stage.stage, stage.oracle_version, said]


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value
