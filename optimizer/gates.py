"""Who may enter which oracle: the rules and budgets of single stages, fixed for a candidate before it is evaluated.

    oracles:
      - relax
      - energy_above_hull
      - kind: bulk_modulus
        only_if: {energy_above_hull_ev_atom: {max: 0.2}}   # or {lowest: 0.25}: the lowest quarter so far
        max_calls: 30

"So far" means in earlier rounds, and of the calls that are left the first proposed of a round get theirs: nothing
depends on which worker was faster, so a resumed campaign decides as an uninterrupted one. Under `schedule: async` it
means when the candidate is handed out, and what is in hand counts as having entered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from math import floor, inf

from campaigns.errors import SpecError, UnknownChoiceError
from campaigns.records import Candidate, StageOutcome, last_values
from campaigns.spec import CampaignSpec, OracleSpec, Rule
from campaigns.store import CampaignStore
from optimizer.cascade import GIVEN, Cascade, Gate, Threshold


def check_gates(spec: CampaignSpec, cascade: Cascade) -> None:
    """Raises SpecError where a rule asks for a property that no earlier oracle measures."""
    measured: list[str] = []
    for place, (given, stage) in enumerate(zip(spec.oracles, cascade.stages, strict=True)):
        for name in given.only_if:
            path = f"oracles.{place}.only_if"
            if not measured:
                raise SpecError(f"{path}.{name}", "nothing is measured before this oracle.", "Put another before it.")
            if name not in measured:
                remedy = "Put the oracle that measures it before this one."
                raise UnknownChoiceError(path, name, sorted(set(measured)), remedy)
        measured += [each.name for each in stage.oracle.properties]


def gates_of_round(
    spec: CampaignSpec, cascade: Cascade, store: CampaignStore, round: int
) -> dict[str, dict[str, Gate]]:
    """Candidate id -> stage -> gate, for every candidate of the round that is to be measured."""
    if not _gated(spec, cascade):
        return {}
    outcomes, earlier = store.outcomes(), [c.id for c in store.candidates() if c.round < round]
    outside = {each.candidate_id: each.stages for each in store.awaited()}
    before = [found[name] for name in earlier for found in (outcomes, outside) if name in found]
    mine = [c.id for c in store.candidates(round) if not _came_with_values(c, outcomes)]
    return _gates(spec, cascade, before, mine, outside=sum(name in outside for name in earlier))


def gates_now(
    spec: CampaignSpec, cascade: Cascade, store: CampaignStore, candidate: Candidate, in_hand: int
) -> dict[str, dict[str, Gate]]:
    """The same for one candidate that is handed out now, while so many others are in hand."""
    if not _gated(spec, cascade):
        return {}
    return _gates(spec, cascade, list(store.outcomes().values()), [candidate.id], in_hand)


def _gates(
    spec: CampaignSpec,
    cascade: Cascade,
    before: Sequence[Sequence[StageOutcome]],
    names: Sequence[str],
    in_hand: int = 0,
    outside: int = 0,
) -> dict[str, dict[str, Gate]]:
    """Candidate id -> stage -> gate of these ids, after the outcomes `before`. Each of those `in_hand`, and then of
    these in their order, is taken to use a call of every stage; each of those `outside` one of the external oracle.
    """
    found: dict[str, dict[str, Gate]] = {name: {} for name in names}
    for stage, given in _gated(spec, cascade):
        thresholds = _thresholds(given, [_in_front_of(stage, stages) for stages in before])
        waiting = in_hand + (outside if stage in _external(cascade) else 0)
        left = inf if given.max_calls is None else given.max_calls - _entries(stage, before) - waiting
        for place, name in enumerate(names):
            spent = "" if place < left else f"the {given.max_calls} calls of {stage} are spent or spoken for"
            found[name][stage] = Gate(thresholds, spent)
    return found


def _gated(spec: CampaignSpec, cascade: Cascade) -> list[tuple[str, OracleSpec]]:
    return [
        (stage.name, given)
        for given, stage in zip(spec.oracles, cascade.stages, strict=True)
        if given.only_if or given.max_calls is not None
    ]


def calls_left_of_stages(
    spec: CampaignSpec, cascade: Cascade, entered: Mapping[str, int], needed: Sequence[str]
) -> float:
    """How many more candidates can have every property in `needed` measured, as far as budgets of single stages go;
    `entered` counts by stage. Infinite where no budget stands in the way.
    """
    left = {
        stage.name: inf if given.max_calls is None else given.max_calls - entered.get(stage.name, 0)
        for given, stage in zip(spec.oracles, cascade.stages, strict=True)
    }
    sources = [[s.name for s in cascade.stages if any(p.name == name for p in s.oracle.properties)] for name in needed]
    return min((max(left[stage] for stage in each) for each in sources if each), default=inf)


def exhausted_stage(spec: CampaignSpec, cascade: Cascade, store: CampaignStore, needed: Sequence[str]) -> str | None:
    """A stage that has spent its own budget, or handed it out, and without which a property in `needed` can no longer
    be measured."""
    entered = Counter(store.spent().stage_counts) + Counter(dict.fromkeys(_external(cascade), len(store.awaited())))
    stages = list(zip(spec.oracles, cascade.stages, strict=True))
    over = {s.name for given, s in stages if given.max_calls is not None and entered[s.name] >= given.max_calls}
    for name in needed:
        sources = [stage.name for _, stage in stages if any(p.name == name for p in stage.oracle.properties)]
        if sources and over.issuperset(sources):
            return sources[-1]
    return None


def _external(cascade: Cascade) -> set[str]:
    """The stage whose values come from outside, if there is one."""
    return {stage.name for stage in cascade.stages if getattr(stage.oracle, "external", False)}


def _came_with_values(candidate: Candidate, outcomes: Mapping[str, Sequence[StageOutcome]]) -> bool:
    return any(stage.stage == GIVEN for stage in outcomes.get(candidate.id, ()))


def _entries(stage: str, outcomes: Sequence[Sequence[StageOutcome]]) -> int:
    return sum(any(each.stage == stage for each in stages) for stages in outcomes)


def _in_front_of(stage: str, stages: Sequence[StageOutcome]) -> Sequence[StageOutcome]:
    """What a candidate had been told when it stood before the stage: that may measure the same property again."""
    return tuple(takewhile(lambda each: each.stage not in (stage, f"before {stage}"), stages))


def _thresholds(given: OracleSpec, before: Sequence[Sequence[StageOutcome]]) -> tuple[Threshold, ...]:
    found: list[Threshold] = []
    for name, rule in given.only_if.items():
        if rule.min is not None or rule.max is not None:
            found.append(Threshold(name, -inf if rule.min is None else rule.min, inf if rule.max is None else rule.max))
        if rule.highest is not None or rule.lowest is not None:
            values = [values[name] for stages in before if name in (values := last_values(stages))]
            found.append(_share(name, rule, values))
    return tuple(found)


def _share(name: str, rule: Rule, values: Sequence[float]) -> Threshold:
    """Goes on: who ranks, counted among the n of earlier rounds, within the share of n + 1, or first."""
    share = rule.highest if rule.highest is not None else rule.lowest
    assert share is not None
    better = max(1, floor(share * (len(values) + 1))) - 1  # so many may be better
    ordered = sorted(values, reverse=rule.highest is not None)
    if better >= len(ordered):
        return Threshold(name)
    why = f", the {'highest' if rule.highest is not None else 'lowest'} {share:.0%} of {len(values)} so far"
    if rule.highest is not None:
        return Threshold(name, low=ordered[better], why=why)
    return Threshold(name, high=ordered[better], why=why)
