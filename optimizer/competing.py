"""Competing phases: crystals made where the table of known phases lacks those that exist, so that a hull has corners.

A crystal's own composition is decorated: crystals of its likeliest structure types (`prototypes`) are put together,
their energies computed at three volumes, and the best are relaxed with the same potential, to a looser limit than a
candidate. Where nothing is known of a pair of elements, the likeliest decorations of any formula stand in. For a
potential that the list of stable phases does not serve, so are, for every set of two or three elements, the formulas
that Materials Project crystals are known to have (`known_formulas`) and the table lacks. A made phase is an upper bound
of the true one's energy: a hull with it lies nearer to the truth, never below what the potential allows.

What is made for a set follows from the set, the potential and the table, never from time or from what was made before;
a finished set is one file in the cache, shared between processes and campaigns. Nothing of it counts to a budget.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice
from pathlib import Path

from pymatgen.core import Structure

from campaigns.artifacts import sync_folder
from campaigns.crystals import crystal_from_json, crystal_to_json
from campaigns.records import Failed
from campaigns.user_cache import CACHE_VARIABLE, cache_folder
from generative.protocols import DecodeFailure, EncodeFailure
from generative.representations.wyckoff import fingerprint
from optimizer.calculators import Potential
from optimizer.formulas import elements_of
from optimizer.prototypes import Decoration, prototypes
from optimizer.references import KnownPhase, ReferenceTable
from optimizer.relaxation import RelaxationLimits, relax, single_point_energy

VERSION = "competing-1"
DEFAULT_FORMULAS = 4
TYPES_PER_FORMULA = 12
TYPES_OF_OWN_FORMULA = 20
VOLUMES = (1.0, 0.8, 0.64, 1.2)
"""Of the volume first guessed: the third is tried where the second is better than the first, else the fourth."""
RELAXED_PER_FORMULA = 2
WORTH_RELAXING_EV_ATOM = 0.2  # above the best of its formula, both as they stand: relaxing seldom gains more
UNKNOWN_PAIR_FORMULAS = 2
LOOSE = RelaxationLimits(fmax_ev_per_ang=0.1, max_stress_gpa=1.0, max_steps=30, max_seconds=float("inf"))
"""Forces and stresses left at these limits are worth about a meV/atom. No limit in seconds: answers must not depend on
how busy a machine is."""


Plan = tuple[tuple[Decoration, ...], ...]  # per formula, its decorations


@dataclass(frozen=True)
class MadePhase:
    """A competing phase: relaxed crystal as JSON, its fingerprint ("" where it has none) and energy (eV/atom)."""

    prototype: str
    formula: str
    fingerprint: str
    energy_ev_atom: float
    crystal_json: str

    @property
    def crystal(self) -> Structure:
        return crystal_from_json(self.crystal_json)

    @property
    def phase(self) -> KnownPhase:
        """As a corner of a hull."""
        return KnownPhase(
            f"made {self.prototype}", self.formula, int(self.prototype.partition(":")[0]), self.energy_ev_atom
        )


@dataclass(frozen=True)
class MadeSet:
    """What was made for one set of elements, like "Hf-Na", or one formula, and what it took."""

    name: str
    phases: tuple[MadePhase, ...]
    single_points: int
    relaxations: int
    failed: int
    seconds: float


def competing_phases(
    symbols: Iterable[str], size: int, potential: Potential, table: ReferenceTable, formulas: int
) -> tuple[MadeSet, ...]:
    """The made phases of every set of `size` (2 or 3) of these elements, from the cache or made now and put there.

    `formulas` is the most formulas that are tried per set, likeliest first. Raises OSError where the cache cannot be
    written.
    """
    sets = combinations(sorted(symbols), size)
    return tuple(_made("-".join(chosen), plan(chosen, table, formulas), potential) for chosen in sets)


def polymorphs(formula: str, potential: Potential, table: ReferenceTable) -> MadeSet:
    """The likeliest types of a reduced formula of two or three elements, whether or not the table knows it: a crystal
    competes first of all with others of its composition. Raises OSError as `competing_phases` does."""
    return _made(formula, plan_of_formula(formula, table), potential)


def require_cache() -> None:
    """Raises ValueError where nothing can be written to the cache."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"competing phases are kept in {str(folder)!r}, which cannot be written ({error.strerror}); "
            f"set {CACHE_VARIABLE} to a folder that can, or write `competing_phases: 0`"
        ) from error


@lru_cache(maxsize=4096)
def plan(symbols: tuple[str, ...], table: ReferenceTable, formulas: int) -> Plan:
    """Per formula to be tried, likeliest first, the decorations of it, likeliest first.

    Formulas of known crystals that the table has no energy for, unless it has the list of stable phases: known formulas
    that are not on that list lie above its hull. Of a pair that the table has none of and no formula is known of
    either, the likeliest of all, UNKNOWN_PAIR_FORMULAS at most.
    """
    if formulas < 1:
        return ()
    exact = {phase.formula for phase in table.entries(symbols) if elements_of(phase.formula) == set(symbols)}
    by_formula: dict[str, list[Decoration]] = defaultdict(list)
    for decoration in prototypes().decorations(symbols, table):
        if decoration.formula not in exact and len(by_formula[decoration.formula]) < TYPES_PER_FORMULA:
            by_formula[decoration.formula].append(decoration)
    judged = len(table.listed) > 0
    tried = [tuple(found) for found in by_formula.values() if found and found[0].formula_known and not judged]
    if not tried and not exact and len(symbols) == 2:
        tried = [tuple(found) for found in by_formula.values() if found][:UNKNOWN_PAIR_FORMULAS]
    return tuple(tried[:formulas])


@lru_cache(maxsize=4096)
def plan_of_formula(formula: str, table: ReferenceTable) -> Plan:
    """The same for one formula: more types of it, those that the table holds with these elements left out."""
    found = (each for each in prototypes().decorations(elements_of(formula), table) if each.formula == formula)
    types = tuple(islice(found, TYPES_OF_OWN_FORMULA))
    return (types,) if types else ()


@lru_cache(maxsize=4096)
def _made(name: str, tried: Plan, potential: Potential) -> MadeSet:
    if not tried:
        return MadeSet(name, (), 0, 0, 0, 0.0)
    todo = [[d.prototype, d.elements] for group in tried for d in group]
    key = hashlib.sha256(json.dumps([VERSION, potential.version, todo]).encode()).hexdigest()[:16]
    path = cache_folder() / "competing" / potential.version.replace("/", "_").replace(":", "_") / f"{name}-{key}.json"
    if not path.is_file():
        _publish(path, _make(name, tried, potential))
    return _read(path)


def _make(name: str, tried: Plan, potential: Potential) -> MadeSet:
    started = time.monotonic()
    phases: list[MadePhase] = []
    single_points = relaxations = failed = 0
    for group in tried:
        standing: list[tuple[float, int, Structure]] = []
        for place, decoration in enumerate(group):
            crystal = prototypes().crystal(decoration.prototype, decoration.elements)
            if isinstance(crystal, DecodeFailure):
                continue
            single_points += 3
            if (best := _best_volume(crystal, potential)) is not None:
                standing.append((best[0], place, best[1]))
        standing.sort(key=lambda item: item[:2])
        for energy, place, crystal in standing[:RELAXED_PER_FORMULA]:
            if energy > standing[0][0] + WORTH_RELAXING_EV_ATOM:
                break
            relaxations += 1
            relaxed = relax(crystal, potential.calculator, LOOSE)
            if isinstance(relaxed, Failed):
                failed += 1
                continue
            mark = fingerprint(relaxed.crystal)
            phases.append(
                MadePhase(
                    group[place].prototype,
                    group[place].formula,
                    "" if isinstance(mark, EncodeFailure) else mark,
                    relaxed.energy_ev_atom,
                    crystal_to_json(relaxed.crystal),
                )
            )
    return MadeSet(name, tuple(phases), single_points, relaxations, failed, time.monotonic() - started)


def _best_volume(crystal: Structure, potential: Potential) -> tuple[float, Structure] | None:
    """The lowest energy (eV/atom) at three of VOLUMES, and the crystal there; None where none has an energy.

    Without it the guessed volume and not the type would decide which is best: MgO in rock salt starts 50 % too large.
    """

    def at(ratio: float) -> tuple[float, Structure]:
        scaled = crystal.copy()
        scaled.scale_lattice(crystal.volume * ratio)
        energy = single_point_energy(scaled, potential.calculator)
        return (float("inf") if isinstance(energy, Failed) else energy), scaled

    first, smaller = at(VOLUMES[0]), at(VOLUMES[1])
    third = at(VOLUMES[2] if smaller[0] < first[0] else VOLUMES[3])
    best = min((first, smaller, third), key=lambda found: found[0])
    return None if best[0] == float("inf") else best


def _publish(path: Path, made: MadeSet) -> None:
    """Complete before it has its name, and never replaced: of two processes that make the same set the first counts."""
    text = json.dumps({**vars(made), "phases": [vars(phase) for phase in made.phases]})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".partial")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links: between this look and the renaming another may come first,
            if not path.exists():  # with the same phases, as nothing in them depends on who made them
                os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _read(path: Path) -> MadeSet:
    data = json.loads(path.read_text(encoding="utf-8"))
    return MadeSet(**{**data, "phases": tuple(MadePhase(**phase) for phase in data["phases"])})
