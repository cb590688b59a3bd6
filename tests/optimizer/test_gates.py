"""Who may enter which oracle: bounds, shares of what earlier rounds measured, and calls of single stages."""

from __future__ import annotations

import pytest
from pymatgen.core import Structure

from campaigns.errors import SpecError
from campaigns.records import Candidate, Failed, FailureCode, Measured, StageOutcome
from campaigns.spec import CampaignSpec, parse_spec
from campaigns.store import CampaignStore
from optimizer.cascade import GIVEN, Cascade
from optimizer.gates import calls_left_of_stages, check_gates, exhausted_stage, gates_now, gates_of_round
from optimizer.protocols import OracleContext

CRYSTAL = Structure([[2.8, 0, 0], [0, 2.8, 0], [0, 0, 3.7]], ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def spec_of(**density) -> CampaignSpec:
    return parse_spec(
        {
            "name": "gated",
            "oracles": ["volume", {"kind": "density", **density}],
            "objectives": {"density_g_cm3": "maximize"},
            "budget": {"oracle_calls": 20},
        }
    )


def cascade_of(spec: CampaignSpec) -> Cascade:
    return Cascade.build(spec.oracles, OracleContext("cpu"), spec.space)


class Ledger:
    """A campaign whose rounds measured these volumes; a number is a candidate that entered `density` too."""

    def __init__(self, folder, spec: CampaignSpec) -> None:
        self.spec, self.cascade = spec, cascade_of(spec)
        self.store = CampaignStore.create(folder, spec, provenance={}, dearest_stage="volume")

    def round(self, number: int, volumes, *, entered=True, stage="volume") -> list[str]:
        names = [f"{number:03d}-{place:04d}" for place in range(len(volumes))]
        candidates = [Candidate(name, number, "test", CRYSTAL, None, "test") for name in names]
        self.store.finish_phase(number, "propose" if number else "start", candidates=candidates)
        for name, volume in zip(names, volumes, strict=True):
            if volume is not None:
                stages = [StageOutcome(stage, "1", Measured({"volume_ang3_atom": volume}, CRYSTAL))]
                if entered:
                    stages.append(StageOutcome("density", "1", Measured({"density_g_cm3": 1.0}, CRYSTAL)))
                self.store.record(name, stages)
        return names

    def gates(self, round: int):
        return gates_of_round(self.spec, self.cascade, self.store, round)


@pytest.fixture
def ledger(tmp_path):
    made = []

    def make(**density) -> Ledger:
        made.append(Ledger(tmp_path / str(len(made)), spec_of(**density)))
        return made[-1]

    yield make
    for each in made:
        each.store.close()


def refused(gate, volume: float) -> FailureCode | None:
    outcome = gate.refusal({"volume_ang3_atom": volume})
    return outcome.code if outcome else None


def test_without_rules_there_are_no_gates(ledger):
    made = ledger()
    made.round(0, [10.0, None])
    assert made.gates(0) == {}


def test_a_bound_holds_from_the_first_round_on(ledger):
    made = ledger(only_if={"volume_ang3_atom": {"min": 8, "max": 12}})
    (name,) = made.round(0, [None])
    gate = made.gates(0)[name]["density"]
    assert [refused(gate, volume) for volume in (7.9, 8.0, 12.0)] == [FailureCode.STOPPED_BY_RULE, None, None]
    assert gate.refusal({"volume_ang3_atom": 12.5}).message == "volume_ang3_atom 12.5 is above 12"


@pytest.mark.parametrize(("rule", "passes", "stops"), [("lowest", 2.0, 2.5), ("highest", 7.0, 6.5)])
def test_a_share_is_of_what_earlier_rounds_measured(rule, passes, stops, ledger):
    """Of 8 earlier values a quarter lets two ranks go on: as good as the second best, or better."""
    made = ledger(only_if={"volume_ang3_atom": {rule: 0.25}})
    made.round(0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], entered=False)
    names = made.round(1, [0.1, 90.0, None])  # the round's own values count for nothing
    gate = made.gates(1)[names[2]]["density"]
    assert refused(gate, passes) is None
    assert refused(gate, stops) is FailureCode.STOPPED_BY_RULE
    assert f"the {rule} 25% of 8 so far" in gate.refusal({"volume_ang3_atom": stops}).message


def test_a_share_is_of_values_as_they_were_before_the_stage_measured_again(ledger):
    """A network's guesses are compared with guesses, not with what the dear stage made of them."""
    known = ledger(only_if={"volume_ang3_atom": {"highest": 0.25}})
    names = [f"000-{place:04d}" for place in range(3)]
    known.store.finish_phase(
        0, "start", candidates=[Candidate(name, 0, "test", CRYSTAL, None, "test") for name in names]
    )
    for name, guess in zip(names, (10.0, 20.0, 30.0), strict=True):
        both = {"volume_ang3_atom": guess + 100, "density_g_cm3": 1.0}
        first = StageOutcome("volume", "1", Measured({"volume_ang3_atom": guess}, CRYSTAL))
        known.store.record(name, [first, StageOutcome("density", "1", Measured(both, CRYSTAL))])
    (name,) = known.round(1, [None])
    gate = known.gates(1)[name]["density"]
    assert gate.refusal({"volume_ang3_atom": 31.0}) is None
    assert gate.refusal({"volume_ang3_atom": 29.0}) is not None


def test_where_nothing_was_measured_everybody_goes_on_and_after_one_only_the_better(ledger):
    made = ledger(only_if={"volume_ang3_atom": {"lowest": 0.1}})
    (first,) = made.round(0, [None])
    assert refused(made.gates(0)[first]["density"], 1e9) is None
    made.store.record(first, [StageOutcome("volume", "1", Measured({"volume_ang3_atom": 5.0}, CRYSTAL))])
    (second,) = made.round(1, [None])
    assert [refused(made.gates(1)[second]["density"], v) for v in (5.0, 5.1)] == [None, FailureCode.STOPPED_BY_RULE]


def test_calls_go_to_the_first_proposed_whoever_is_done_first(ledger):
    made = ledger(max_calls=4)
    made.round(0, [1.0, 2.0])
    names = made.round(1, [None, 5.0, None])  # the second is recorded already, as after an interruption
    spent = {name: gates["density"].refusal({}) for name, gates in made.gates(1).items()}
    assert [name for name, outcome in spent.items() if outcome is None] == names[:2]
    assert spent[names[2]].code is FailureCode.STAGE_BUDGET_SPENT
    assert spent[names[2]].message == "the 4 calls of density are spent or spoken for"


def test_crystals_that_came_with_their_values_take_no_call(ledger):
    made = ledger(max_calls=1)
    made.round(0, [3.0, None], entered=False, stage=GIVEN)
    assert set(made.gates(0)) == {"000-0001"}
    assert made.gates(0)["000-0001"]["density"].refusal({}) is None


def test_a_spent_stage_ends_the_campaign_only_where_the_objective_needs_it(ledger):
    made = ledger(max_calls=2)
    made.round(0, [1.0])
    assert exhausted_stage(made.spec, made.cascade, made.store, ["density_g_cm3"]) is None
    made.round(1, [2.0])
    assert exhausted_stage(made.spec, made.cascade, made.store, ["density_g_cm3"]) == "density"
    assert exhausted_stage(made.spec, made.cascade, made.store, ["volume_ang3_atom"]) is None


def test_who_is_kept_out_has_an_outcome_of_its_own_and_has_not_entered():
    spec = spec_of(only_if={"volume_ang3_atom": {"max": 1}})
    gates = {"density": _gate(spec)}
    stages = cascade_of(spec).evaluate(CRYSTAL, 0, gates)
    assert [stage.stage for stage in stages] == ["volume", "before density"]
    assert isinstance(stages[1].outcome, Failed)
    assert stages[1].outcome.code is FailureCode.STOPPED_BY_RULE


def _gate(spec):
    from optimizer.cascade import Gate, Threshold

    rule = spec.oracles[1].only_if["volume_ang3_atom"]
    return Gate((Threshold("volume_ang3_atom", high=rule.max),))


@pytest.mark.parametrize(
    ("oracles", "message"),
    [
        ([{"kind": "density", "only_if": {"volume_ang3_atom": {"max": 1}}}], "nothing is measured before"),
        (["volume", {"kind": "density", "only_if": {"gap_ev": {"max": 1}}}], "unknown 'gap_ev'; choose one of volume"),
    ],
)
def test_a_rule_asks_for_what_was_measured_before(oracles, message):
    spec = parse_spec(spec_of().model_dump(mode="json") | {"oracles": oracles})
    with pytest.raises(SpecError, match=r"^oracles\.\d\.only_if") as caught:
        check_gates(spec, cascade_of(spec))
    assert message in str(caught.value)


def test_what_is_in_hand_is_taken_to_use_its_calls(ledger):
    made = ledger(max_calls=3)
    made.round(0, [1.0, 2.0])
    candidate = Candidate("001-0000", 1, "test", CRYSTAL, None, "test")
    free, taken = (gates_now(made.spec, made.cascade, made.store, candidate, n) for n in (0, 1))
    assert free["001-0000"]["density"].refusal({}) is None
    assert taken["001-0000"]["density"].refusal({}).code is FailureCode.STAGE_BUDGET_SPENT
    counts = made.store.spent().stage_counts
    assert calls_left_of_stages(made.spec, made.cascade, counts, ["density_g_cm3", "volume_ang3_atom"]) == 1
    assert calls_left_of_stages(made.spec, made.cascade, counts, ["volume_ang3_atom"]) == float("inf")
