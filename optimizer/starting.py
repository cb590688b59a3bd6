"""Round 0: the crystals a campaign begins with."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from campaigns.errors import SpecError
from campaigns.records import UNCERTAINTIES, Candidate, FailureCode, Measured, StageOutcome
from campaigns.store import CampaignStore
from generative.protocols import DecodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.admission import admit, in_words
from optimizer.build import Parts
from optimizer.cascade import GIVEN
from optimizer.phases import Report, phase_seed
from optimizer.protocols import Start, StartCrystal


def start_phase(parts: Parts, store: CampaignStore, report: Report) -> None:
    """Round 0: propose the crystals the campaign begins with; those that came with values are measured already."""
    if store.phase_done(0, "start"):
        _record_labels(store)
        return
    seen: set[str] = set()
    found: list[tuple[str, StartCrystal]] = []
    failures: Counter[str] = Counter()
    budget = parts.spec.budget.oracle_calls
    for place, (kind, start) in enumerate(parts.starts):
        charged = sum(each.values is None for _, each in found)
        given = _given(parts, start, place)
        taken, refused = _admitted_start(parts, start, given, seen, budget - charged)
        failures.update({code.value: count for code, count in refused.items()})
        found += [(kind, each) for each in taken]
        report(f"{kind} gave {len(taken)} crystals" + (f"; not taken: {in_words(refused)}" if refused else ""))
    version = parts.generator.version
    candidates = [
        Candidate(f"000-{i:04d}", 0, kind, each.crystal, _decoded_from(each), version, parent=each.source or None)
        for i, (kind, each) in enumerate(found)
    ]
    labels = {
        c.id: dict(each.values) for c, (_, each) in zip(candidates, found, strict=True) if each.values is not None
    }
    both = list(zip(candidates, found, strict=True))
    figures = {
        "labels": labels,
        "flags": {c.id: list(each.flags) for c, (_, each) in both if each.flags},
        UNCERTAINTIES: {c.id: dict(each.uncertainties) for c, (_, each) in both if each.uncertainties},
    }
    store.finish_phase(0, "start", candidates=candidates, failures=failures, figures=figures)
    _record_labels(store)


def _record_labels(store: CampaignStore) -> None:
    """Write the values that start crystals came with as outcomes of a stage of their own: no oracle was called."""
    start = [record for record in store.rounds() if (record.round, record.phase) == (0, "start")]
    labels: Mapping[str, Mapping[str, float]] = start[0].figures["labels"]
    doubts: Mapping[str, Sequence[str]] = start[0].figures.get("flags", {})  # absent in older ledgers
    stated: Mapping[str, Mapping[str, float]] = start[0].figures.get(UNCERTAINTIES, {})
    waiting = {c.id: c for c in store.pending()} if labels else {}
    for name, values in labels.items():
        if name in waiting:
            flags = dict.fromkeys((*doubts.get(name, ()), "given_value"))
            details = {UNCERTAINTIES: stated[name]} if name in stated else {}
            outcome = Measured(values, waiting[name].crystal, flags=tuple(flags), details=details)
            store.record(name, [StageOutcome(GIVEN, GIVEN, outcome)])


def _given(parts: Parts, start: Start, place: int) -> Iterator[StartCrystal | DecodeFailure]:
    """What a start gives. Its file may have changed since it was checked: that is for a person to mend."""
    seed = phase_seed(parts.spec.seed, 0, "start", place)
    try:
        yield from start.crystals(parts.generator, parts.spec.space, seed=seed)
    except ValueError as error:
        raise SpecError(f"start.{place}", " ".join(str(error).split())) from error


def _admitted_start(
    parts: Parts,
    start: Start,
    given: Iterator[StartCrystal | DecodeFailure],
    seen: set[str],
    budget: int,
) -> tuple[list[StartCrystal], Counter[FailureCode]]:
    """Crystals of one start that pass: labelled ones only need to be unique, the others the whole screen."""
    taken: list[StartCrystal] = []
    labelled: dict[str, list[Structure]] = defaultdict(list)
    failures: Counter[FailureCode] = Counter()
    for each in given:
        if isinstance(each, DecodeFailure):
            failures[each.code] += 1
        elif not each.crystal.is_ordered:  # has no place in the ledger, whatever value it came with
            failures[FailureCode.ENCODE_UNSUPPORTED] += 1
        elif each.values is not None:
            if _repeated(each.crystal, labelled, seen):
                failures[FailureCode.DUPLICATE] += 1
            else:
                taken.append(each)
        else:
            if sum(t.values is None for t in taken) >= budget:
                break
            passed, refused = admit(
                [each.crystal], parts.spec.space, parts.references, seen, allow_known=start.allow_known
            )
            failures.update(refused)
            taken += [each] if passed else []
        if start.limit is not None and len(taken) >= start.limit:
            break
    return taken, failures


def _repeated(crystal: Structure, labelled: dict[str, list[Structure]], seen: set[str]) -> bool:
    """Whether a labelled crystal was there before; it is there afterwards. A fingerprint leaves free coordinates out,
    and every label is a measurement: what shares one with `labelled` crystals of its start is compared with them.
    """
    mark = fingerprint(crystal)
    if not isinstance(mark, str):
        return False
    matcher, alike = StructureMatcher(), labelled[mark]
    if mark in seen and (not alike or any(matcher.fit(crystal, other) for other in alike)):
        return True
    seen.add(mark)
    alike.append(crystal)
    return False


def _decoded_from(each: StartCrystal) -> list[float] | None:
    return None if each.z is None else each.z.tolist()
