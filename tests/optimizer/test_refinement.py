"""When a generator is retrained, and by what the result is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.core import Lattice, Structure

import optimizer.refinement as refinement
from campaigns.errors import UserError
from campaigns.records import Candidate, Measured, StageOutcome
from campaigns.spec import parse_spec
from campaigns.store import CampaignStore
from optimizer.build import build
from optimizer.evidence import evidence, fitted_to
from optimizer.objective import CampaignObjective
from optimizer.refinement import current_generator, losses, refine_phase, refinement_due
from optimizer.starting import start_phase

SALT = Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


def spec(**changes):
    return parse_spec(
        {
            "name": "refined",
            "device": "cpu",
            "generator": {"kind": "wyckoff_vae", "refine_steps": 3},
            "space": {"n_elements": 2, "n_atoms": [2, 4]},
            "start": [{"kind": "generator_samples", "n": 6}],
            "oracles": ["density"],
            "objectives": {"density_g_cm3": "maximize"},
            "budget": {"oracle_calls": 20},
        }
        | changes
    )


def silent(text):
    pass


def measured_rounds(store, densities):
    """One candidate a round."""
    for round, density in enumerate(densities):
        name = f"{round:03d}"
        store.finish_phase(round, "propose", candidates=[Candidate(name, round, "test", SALT, None, "g")])
        store.record(name, [StageOutcome("density", "1", Measured({"density_g_cm3": density}, SALT))])


def due(tmp_path, refine, densities):
    given = spec(refine=refine)
    objective = CampaignObjective.from_spec(given)
    folder = tmp_path / f"{refine} {densities[-1]}"
    with CampaignStore.create(folder, given, provenance={}) as store:
        measured_rounds(store, densities)
        asked = []
        for round in range(len(densities)):
            asked.append(refinement_due(store, objective, round))
            if asked[-1]:
                store.finish_phase(round, "refine")
        return [round for round, yes in enumerate(asked) if yes]


def test_schedules(tmp_path):
    rising, flat = [1, 2, 3, 4, 5, 6, 7], [1, 2, 2, 2, 2, 2, 2]
    assert due(tmp_path, "off", flat) == []
    assert due(tmp_path, {"every": 3}, rising) == [3, 6]
    assert due(tmp_path, {"stalled_rounds": 2}, rising) == []
    assert due(tmp_path, {"stalled_rounds": 2}, flat) == [3, 5]  # and starts counting again


def test_what_is_known_later_does_not_change_when_a_refinement_was_due(tmp_path):
    given = spec(refine={"stalled_rounds": 2})
    objective = CampaignObjective.from_spec(given)
    with CampaignStore.create(tmp_path / "run", given, provenance={}) as store:
        measured_rounds(store, [1, 1, 1, 5])
        assert refinement_due(store, objective, 2)
        assert not refinement_due(store, objective, 3)


FIGURES = {
    "before": {"reconstruction": 0.75, "valid": 0.95, "unique": 1.0},
    "after": {"reconstruction": 0.745, "valid": 0.941, "unique": 1.0},
    "surrogate_before": -1.0,
    "surrogate_after": -0.9,
}


def test_a_loss_of_up_to_a_point_is_accepted_and_every_larger_one_is_named():
    assert losses(FIGURES) == []
    assert losses(FIGURES | {"after": FIGURES["before"] | {"valid": 0.94}}) == []
    (why,) = losses(FIGURES | {"after": FIGURES["after"] | {"unique": 0.98}})
    assert why == "unique fell from 100.0% to 98.0%"
    (why,) = losses(FIGURES | {"surrogate_after": -1.01})
    assert why == "the surrogate's leave-one-out score fell from -1.000 to -1.010 nats"
    assert losses(FIGURES | {"before": FIGURES["before"] | {"reconstruction": None}}) == []
    assert losses(FIGURES | {"surrogate_before": None}) == []


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return build(spec(), tmp_path_factory.mktemp("campaign"))


@pytest.fixture
def store(parts, tmp_path, monkeypatch):
    """A started and measured campaign; judging is real, with few crystals and samples."""
    monkeypatch.setattr(refinement, "SAMPLES", 20)
    monkeypatch.setattr(type(parts.base), "held_out", lambda self: [SALT])
    with CampaignStore.create(tmp_path / "run", spec(), provenance={}) as store:
        current_generator(parts, store)
        start_phase(parts, store, silent)
        for candidate in store.pending():
            store.record(candidate.id, parts.cascade.evaluate(candidate.crystal, 0))
        yield store


@pytest.fixture
def calm_surrogate(monkeypatch):
    """Three steps hardly move a generator, but a score over six rows may fall by less than they mean: leave it out."""
    monkeypatch.setattr(refinement, "leave_one_out_score", lambda parts, known: None)


def test_judging_leaves_hyperparameters_of_earlier_rounds_alone(parts, store):
    """They were fitted to fewer rows, and would score lower than those of the new generator, fitted to all."""
    known = evidence(parts, store)
    five = replace(known, candidates=known.candidates[:5], measured=known.measured[:5], values=known.values[:5])
    fitted = fitted_to(parts, five)[1]
    aged = replace(known, last_fit=fitted.report.outcomes)
    kept = fitted_to(parts, aged)[1].report.outcomes["density_g_cm3"]
    assert kept["fitted_rows"] == 5  # as a round would go on
    score = refinement.leave_one_out_score(parts, known)
    assert score is not None
    assert refinement.leave_one_out_score(parts, aged) == score


def test_an_accepted_generator_is_kept_with_its_weights_and_every_latent(parts, store, calm_surrogate):
    said = []
    refined = refine_phase(parts, store, 2, said.append)
    first, second = store.generators()
    assert (first.version, first.artifact) == (parts.generator.version, None)
    assert second.accepted
    assert second.version == refined.generator.version != parts.generator.version
    assert second.figures["crystals"] == 6
    assert set(second.figures["before"]) == set(second.figures["after"]) == {"reconstruction", "valid", "unique"}
    assert "surrogate_after" in second.figures
    assert set(store.latents(second.version)) == {c.id for c in store.candidates()}
    assert set(store.latents(first.version)) == {c.id for c in store.candidates()}
    assert refined.base is parts.base
    assert said[-1] == f"goes on with the retrained generator {second.version}"
    resumed = current_generator(parts, store)
    assert resumed.generator.version == second.version
    z = [each.tolist() for each in resumed.generator.encode([SALT])]
    assert z == [each.tolist() for each in refined.generator.encode([SALT])]
    assert current_generator(refined, store) is refined  # whoever kept the parts of the last round goes on with them


def test_the_same_refinement_gives_the_same_weights_and_begins_at_the_first_generator(parts, store, calm_surrogate):
    once = refine_phase(parts, store, 2, silent)
    other_round = refine_phase(once, store, 4, silent)
    assert other_round.generator.version != once.generator.version
    again = parts.base.refine([SALT], [1.0], seed=5).version
    assert once.base.refine([SALT], [1.0], seed=5).version == again
    assert parts.base.refine([SALT], [1.0], seed=6).version != again


def test_a_generator_that_lost_something_is_rolled_back(parts, store, monkeypatch):
    """It learns one crystal by heart, with a step far too large."""
    import generative.refinement as training

    monkeypatch.setattr(training, "LEARNING_RATE", 0.3)
    monkeypatch.setattr(training, "KEPT", 0.0)
    said = []
    assert refine_phase(parts, store, 2, said.append) is parts
    rejected = store.generators()[-1]
    assert not rejected.accepted
    assert rejected.artifact is None
    assert "fell from" in rejected.figures["why"]
    assert said[-1].startswith("the generator stays: ")
    assert store.latents(rejected.version) == {}
    assert current_generator(parts, store).generator.version == parts.generator.version
    assert store.phase_done(2, "refine")


def test_with_nothing_to_learn_from_the_generator_stays(parts, tmp_path):
    with CampaignStore.create(tmp_path / "empty", spec(), provenance={}) as store:
        assert refine_phase(parts, store, 1, silent) is parts
        (phase,) = store.rounds()
        assert (phase.figures["accepted"], phase.figures["crystals"]) == (False, 0)


def test_another_generator_than_the_first_is_refused(parts, store):
    other = replace(parts.base, version="wyckoff_vae-other")
    with pytest.raises(UserError, match="was started with the generator"):
        current_generator(replace(parts, base=other, generator=other), store)
