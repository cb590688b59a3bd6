"""The top of a list measured again with a second potential, against a hull of that potential's own.

The campaign's own oracles are asked again with the second potential in place of the first: relaxation first, then
whatever takes a potential, and the distance to hull in any case. The hull is made for the chemical systems in question:
the known phases near the first potential's hull are rebuilt from their structure types (or taken from a table that
holds crystals) and relaxed. What cannot be rebuilt, mostly phases of four elements and large cells, is counted; where
the second potential is on the scale of the listed stable phases, these are corners all the same.

CHGNet and SevenNet-0 learned the same set of calculations, MPtrj: where they agree both may be wrong in the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ase.build import bulk
from pymatgen.core import Composition, Structure

from campaigns.artifacts import write_durably
from campaigns.crystals import crystal_from_json
from campaigns.errors import SpecError, UserError
from campaigns.kinds import build_kind, kind_params
from campaigns.records import Failed, first_failure, last_values
from campaigns.spec import KindSpec
from campaigns.store import CampaignStore
from generative.progress import tracked
from generative.protocols import DecodeFailure
from generative.threads import one_thread
from optimizer.calculators import MP2020_POTENTIALS, CalculatorParams, Potential, potential
from optimizer.cascade import Cascade, Stage
from optimizer.competing import LOOSE
from optimizer.formulas import elements_of
from optimizer.known import known_to
from optimizer.protocols import OracleContext
from optimizer.prototypes import prototypes, type_of
from optimizer.ranking import Ranked, rank_candidates
from optimizer.reference_build import write_table
from optimizer.references import ReferenceTable
from optimizer.relaxation import Relaxed, relax, to_structure

FILE = "verification.json"
FOLDER = "verification"
PARTIAL, KEPT_EVERY = "partial.csv.gz", 8  # known phases, some seconds each
HULL = "energy_above_hull_ev_atom"
NEAR_HULL_EV_ATOM = 0.05
"""Known phases that the first potential puts this near its hull may be corners of the second one's."""


@dataclass(frozen=True)
class Verification:
    """What the second potential says of one candidate. `values` are its own, `failure` is "" where there is none;
    `rebuilt` of `wanted` known phases stand in its hull, which `hull` names."""

    candidate_id: str
    potential: str
    first_potential: str
    threshold_ev_atom: float
    values: dict[str, float]
    failure: str
    wanted: int
    rebuilt: int
    hull: str = ""

    def flags(self, values: dict[str, float]) -> tuple[str, ...]:
        """Of a candidate with these values of the first potential."""
        if self.failure:
            return ("verification_failed",)
        found = ["verification_hull_incomplete"] if self.rebuilt < self.wanted else []
        if HULL in values and abs(self.values[HULL] - values[HULL]) > self.threshold_ev_atom:
            found.append("potentials_disagree")
        return tuple(found)


def read_verification(folder: Path) -> dict[str, Verification]:
    """By candidate id; empty where a run was not verified."""
    path = folder / FILE
    if not path.is_file():
        return {}
    return {name: Verification(**found) for name, found in json.loads(path.read_text("utf-8")).items()}


def verify_campaign(
    folder: Path,
    params: CalculatorParams,
    *,
    top: int,
    threshold_ev_atom: float,
    formulas: int | None = None,
    device: str = "cpu",
) -> dict[str, Verification]:
    """Measure the first `top` of the list of the run in `folder` again and write `verification.json` there.

    `formulas` of competing phases are made per set of elements as in energy_above_hull, by default as in the campaign.
    What this potential said of a candidate against the same hull is not computed again, and of others it stays. Returns
    what it says of those first.

    Raises UserError where the second potential cannot be had, or is the first one.
    """
    try:
        second = potential(params, device)
    except ValueError as error:
        raise UserError(f"--calculator: {error}.") from error
    with CampaignStore.open(folder) as store, one_thread():
        table = known_to(store)
        first = _first_potential(store.spec.oracles, device)
        if first.version == second.version:
            raise UserError(f"--calculator: {second.name} is the campaign's own.", "Name another potential.")
        entries = rank_candidates(store, table.novelty, top).entries
        oracles = store.spec.oracles
        space = store.spec.space
    systems = [frozenset(entry.crystal.composition.get_el_amt_dict()) for entry in entries]
    wanted = {row for system in systems for row in near_hull(table, system)}
    elements = sorted({symbol for system in systems for symbol in system})
    place, rebuilt = _write_hull(folder / FOLDER, table, sorted(wanted), elements, second)
    cascade = Cascade(_stages(oracles, params, place, formulas, OracleContext(device)), space)
    hull = place.name if formulas is None else f"{place.name} {formulas}"
    found = {name: each for name, each in read_verification(folder).items() if each.potential == second.version}
    corrected = second.version in MP2020_POTENTIALS  # listed phases are corners of its hull without being rebuilt
    for entry, system in tracked(list(zip(entries, systems, strict=True)), "verifying", len(entries)):
        name = entry.candidate.id
        if name in found and found[name].hull == hull and not found[name].failure:
            found[name] = replace(found[name], threshold_ev_atom=threshold_ev_atom)
            continue
        compounds = [row for row in near_hull(table, system) if len(elements_of(table.formulas[row])) > 1]
        values, failure = _measured(cascade, entry)
        found[name] = Verification(
            candidate_id=name,
            potential=second.version,
            first_potential=first.version,
            threshold_ev_atom=threshold_ev_atom,
            values=values,
            failure=failure,
            wanted=len(compounds) + (0 if corrected else len(table.listed_within(system))),
            rebuilt=sum(row in rebuilt for row in compounds),
            hull=hull,
        )
        _write(folder, found)
    _write(folder, found)
    return {entry.candidate.id: found[entry.candidate.id] for entry in entries}


def _write(folder: Path, found: Mapping[str, Verification]) -> None:
    text = json.dumps({name: asdict(each) for name, each in found.items()}, indent=1, allow_nan=False)
    write_durably(folder / FILE, f"{text}\n".encode())


def near_hull(table: ReferenceTable, symbols: frozenset[str]) -> tuple[int, ...]:
    """Rows of the known phases made of these elements, elements too, within NEAR_HULL_EV_ATOM of the hull they span."""
    rows = []
    for row in table.rows_within(symbols):
        distance = table.hull_distance(Composition(table.formulas[row]), float(table.energies_ev_atom[row]))
        if not isinstance(distance, Failed) and distance.value_ev_atom <= NEAR_HULL_EV_ATOM:
            rows.append(row)
    return tuple(rows)


def rebuilt_crystal(table: ReferenceTable, row: int) -> Structure | None:
    """The crystal of a row where the table holds it, else its structure type with its elements; None where the type is
    not in the library."""
    if table.crystals and table.crystals[row]:
        return crystal_from_json(table.crystals[row])
    if not table.fingerprints[row]:
        return None
    label, elements = type_of(table.fingerprints[row])
    if label not in prototypes().rows:
        return None
    crystal = prototypes().crystal(label, elements)
    return None if isinstance(crystal, DecodeFailure) else crystal


def element_crystal(symbol: str) -> Structure | None:
    """The element as ASE knows it at room temperature; None for molecules and low symmetries."""
    try:
        return to_structure(bulk(symbol))
    except (ValueError, KeyError, RuntimeError):
        return None


def _write_hull(
    folder: Path, table: ReferenceTable, rows: Sequence[int], elements: Sequence[str], second: Potential
) -> tuple[Path, frozenset[int]]:
    """The second potential's table of these known phases and elements, relaxed with it, and which rows are in it."""
    stem = f"references-{second.version.replace(':', '-').replace('/', '-')}"
    found = _earlier(folder, stem, second)
    wanted = {table.material_ids[row]: rebuilt_crystal(table, row) for row in rows}
    wanted |= {f"element-{symbol}": element_crystal(symbol) for symbol in elements}
    missing = [(name, crystal) for name, crystal in wanted.items() if crystal is not None and name not in found]
    for done, (name, crystal) in enumerate(tracked(missing, "known phases", len(missing)), 1):
        relaxed = relax(crystal, second.calculator, LOOSE)
        if isinstance(relaxed, Relaxed):
            found[name] = (relaxed.crystal, relaxed.energy_ev_atom)
        if found and done % KEPT_EVERY == 0:
            write_table(folder / f"{stem}-{PARTIAL}", found, second, structures=True)
    names = wanted.keys() & found.keys()
    if not names:
        raise UserError("no known phase of these chemical systems could be rebuilt.", "Bring them as `references`.")
    rebuilt = frozenset(row for row in rows if table.material_ids[row] in names)
    digest = hashlib.sha256(" ".join(sorted(names)).encode()).hexdigest()[:8]
    place = folder / f"{stem}-{digest}.csv.gz"
    write_table(place, {name: found[name] for name in names}, second, structures=True)
    (folder / f"{stem}-{PARTIAL}").unlink(missing_ok=True)
    return place, rebuilt


def _earlier(folder: Path, stem: str, second: Potential) -> dict[str, tuple[Structure, float | None]]:
    """What earlier verifications of this run relaxed."""
    found: dict[str, tuple[Structure, float | None]] = {}
    for path in sorted(folder.glob(f"{stem}-*.csv.gz")):
        table = ReferenceTable.load(path)
        if table.potential == second.version:
            for name, text, energy in zip(table.material_ids, table.crystals, table.energies_ev_atom, strict=True):
                found[name] = (crystal_from_json(text), float(energy))
    return found


def _first_potential(oracles: Sequence[KindSpec], device: str) -> Potential:
    """Of the campaign's distance to hull, or of whatever takes a potential first."""
    asked = [(spec.kind, kind_params("oracle", spec, "oracles")[1]) for spec in oracles]
    with_one = [(kind, params) for kind, params in asked if isinstance(params, CalculatorParams)]
    if not with_one:
        raise UserError("this campaign asks no potential, so there is nothing to verify.")
    return potential(next((params for kind, params in with_one if kind == "energy_above_hull"), with_one[0][1]), device)


def _stages(
    oracles: Sequence[KindSpec], params: CalculatorParams, place: Path, formulas: int | None, context: OracleContext
) -> tuple[Stage, ...]:
    """The campaign's oracles that take a potential, with the second one; relaxation and hull distance in any case."""
    second = {"calculator": params.calculator, "calculator_args": params.calculator_args}
    taken = [spec for spec in oracles if isinstance(kind_params("oracle", spec, "oracles")[1], CalculatorParams)]
    kinds = [spec.kind for spec in taken]
    if "relax" not in kinds:
        taken.insert(0, KindSpec(kind="relax"))
    if "energy_above_hull" not in kinds:
        taken.append(KindSpec(kind="energy_above_hull"))
    stages = []
    for spec in taken:
        changed = {**spec.params, **second}
        if spec.kind == "energy_above_hull":
            changed["reference"] = str(place.resolve())
            changed |= {} if formulas is None else {"competing_phases": formulas}
        try:
            oracle = build_kind("oracle", KindSpec(kind=spec.kind, **changed), context, spec.kind)
        except SpecError:
            continue  # formation_energy has no zero for this potential
        stages.append(Stage(spec.kind, oracle))
    return tuple(stages)


def _measured(cascade: Cascade, entry: Ranked) -> tuple[dict[str, float], str]:
    """The second potential's values, and why it failed where it did."""
    stages = cascade.evaluate(entry.crystal, 0)
    failed = first_failure(stages)
    return last_values(stages), "" if failed is None else f"{failed.code}: {failed.message}"
