"""Known materials: the convex hull they span, and whether a crystal is one of them.

The bundled table holds 17,284 Materials Project crystals with the energy that CHGNet gives them at their DFT
geometry; a user's own come from `optimize references build`. They are a part of what is known, so compounds that are
only listed (`optimizer.stable_phases`) are corners of the hull as well, for potentials on their scale; every hull
distance says how much it rests on, and `optimizer.hull` makes competing phases where it is too little.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from campaigns.crystals import crystal_from_json
from campaigns.elements import SYMBOLS
from campaigns.records import Failed
from generative.protocols import EncodeFailure
from generative.representations.wyckoff import fingerprint
from generative.symmetry import mendeleev_rank
from optimizer.calculators import MP2020_POTENTIALS
from optimizer.elemental_references import ElementalReferences, elemental_references
from optimizer.formulas import COLUMN_OF, atomic_fractions, elements_of
from optimizer.reference_files import BUNDLED_POTENTIAL, read_reference_rows
from optimizer.stable_phases import StablePhases, stable_phases

NEAR_EV_ATOM = 0.05
"""A crystal of the table this near the energy that the list of stable phases gives its formula is that phase: twice the
error of a potential."""
LISTED = "Materials Project"  # in place of an id
FileState = tuple[Path, int, int]  # with the time of its last change, and its size


@dataclass(frozen=True)
class KnownPhase:
    """A compound with an energy: a row of the table, or one that is only listed (id LISTED, space group 0)."""

    material_id: str
    formula: str
    space_group: int
    energy_ev_atom: float


@dataclass(frozen=True)
class HullDistance:
    """Energy above (positive) or below (negative) the hull of the known phases, and what that hull rests on.

    `n_known_phases` counts the known compounds, elements aside, whose elements are all among the crystal's;
    `n_competing` those made for lack of known ones (`optimizer.competing`). `sparse_edges` are the pairs of its
    elements without any binary compound of either sort; `sparse` is true where there is one. `decomposes_to` names
    the corners of the hull below it.
    """

    value_ev_atom: float
    n_known_phases: int
    sparse_edges: tuple[str, ...]
    n_competing: int = 0
    decomposes_to: tuple[str, ...] = ()

    @property
    def sparse(self) -> bool:
        return bool(self.sparse_edges)


@dataclass(frozen=True)
class Novelty:
    """Whether a crystal is new, and the known material nearest to it, like "mp-149 Si (227)".

    `basis` says how `nearest` was found: "structure" (the same material, its crystal is to hand and matches),
    "fingerprint" (the same material, as far as symmetry tells),
    "formula and space group", "composition" (`distance` is then above 0 or the space group differs), or
    "formula only" where the crystal has no fingerprint: it then counts as known if its formula is.
    """

    new: bool
    nearest: str
    distance: float
    basis: str


@dataclass(frozen=True, eq=False)
class ReferenceTable:
    """One row per known crystal, `n` in all; formulas reduced as pymatgen writes them. `version` hashes what was read.
    `listed` are compounds without a crystal."""

    material_ids: tuple[str, ...]
    formulas: tuple[str, ...]
    space_groups: NDArray[np.int64]  # [n], 0 where unknown
    fingerprints: tuple[str, ...]  # "" where there is none
    energies_ev_atom: NDArray[np.float64]  # [n], NaN where there is none
    version: str
    potential: str = BUNDLED_POTENTIAL  # version of the one that gave the energies
    crystals: tuple[str, ...] = ()  # [n] as JSON, "" where not to hand; or none at all
    listed: StablePhases = field(default_factory=StablePhases)

    def __len__(self) -> int:
        return len(self.material_ids)

    @staticmethod
    def load(path: str | Path | None = None, own: Iterable[str | Path] = ()) -> ReferenceTable:
        """The bundled table, or a user's file with the same columns, and with it the rows of the tables `own`.

        Rows of `own` whose energies are another potential's take part in novelty only. With it the bundled list of
        stable phases, where the potential is on its scale. A file is read once per process, and again when it changes.
        Raises UserError where a file is missing or holds something else, see `optimizer.reference_files`.
        """
        return _load_all(None if path is None else _state(Path(path)), tuple(_state(Path(each)) for each in own))

    def with_rows_of(self, other: ReferenceTable) -> ReferenceTable:
        """Both tables' rows, these first."""
        comparable = other.potential == self.potential
        energies = other.energies_ev_atom if comparable else np.full(len(other), np.nan)
        return ReferenceTable(
            self.material_ids + other.material_ids,
            self.formulas + other.formulas,
            np.concatenate([self.space_groups, other.space_groups]),
            self.fingerprints + other.fingerprints,
            np.concatenate([self.energies_ev_atom, energies]),
            version=f"{self.version}+{other.version}",
            potential=self.potential,
            crystals=(self.crystals or ("",) * len(self)) + (other.crystals or ("",) * len(other)),
        )

    def rows_within(self, symbols: Iterable[str]) -> tuple[int, ...]:
        """Rows made of nothing but these elements that have an energy."""
        inside = (self._fractions @ _outside(symbols)) == 0
        return tuple(np.flatnonzero(inside & np.isfinite(self.energies_ev_atom)).tolist())

    def entries(self, chemical_system: Iterable[str]) -> tuple[KnownPhase, ...]:
        """The known compounds, elements aside, made of nothing but these elements, with their energies: crystals of the
        table, then phases that are only listed."""
        symbols = frozenset(chemical_system)
        rows = [row for row in self.rows_within(symbols) if len(elements_of(self.formulas[row])) > 1]
        return tuple(
            KnownPhase(
                self.material_ids[row],
                self.formulas[row],
                int(self.space_groups[row]),
                float(self.energies_ev_atom[row]),
            )
            for row in rows
        ) + self.listed_within(symbols)

    def listed_within(self, symbols: frozenset[str]) -> tuple[KnownPhase, ...]:
        formulas, fractions, energies = self.only_listed
        rows = np.flatnonzero((fractions @ _outside(symbols)) == 0).tolist()
        return tuple(KnownPhase(LISTED, formulas[row], 0, float(energies[row])) for row in rows)

    @cached_property
    def only_listed(self) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float64]]:
        """Formulas, atomic fractions `[m, 103]` and energies (eV/atom) of the listed phases that are no crystal of this
        table: it has none of the formula, or none lower than NEAR_EV_ATOM above the listed energy. Elsewhere the
        crystal is the corner: its energy is a potential's, as a candidate's is."""
        listed = self.listed
        levels = np.array([self.elements.energy_ev_atom.get(symbol, 0.0) for symbol in SYMBOLS])
        energies = listed.formation_ev_atom + listed.fractions @ levels
        lowest = {formula: self.energies_ev_atom[rows[0]] for formula, rows in self._by_formula.items()}
        own = np.array([lowest.get(formula, np.nan) for formula in listed.formulas])
        kept = np.flatnonzero(~(own <= energies + NEAR_EV_ATOM))
        return tuple(listed.formulas[row] for row in kept.tolist()), listed.fractions[kept], energies[kept]

    def hull_distance(
        self,
        composition: Composition,
        energy_ev_atom: float,
        competing: tuple[KnownPhase, ...] = (),
        *,
        without: str = "",
    ) -> HullDistance | Failed:
        """Distance of an energy (on this table's scale) from the hull of known compounds and elements, eV/atom.

        `competing` are more compounds to take part; `without` names a known one, by id, that does not. The crystal
        itself is no vertex, so the distance is negative where it lies below everything known. Elements take part with
        their reference energies. Failed with NO_REFERENCE where an element has none.
        """
        symbols = frozenset(element.symbol for element in composition.elements)
        references = self.elements
        if failed := references.missing(symbols):
            return failed
        if len(symbols) == 1:
            return HullDistance(references.formation_energy(composition, energy_ev_atom), 0, ())
        inside = tuple(phase for phase in competing if elements_of(phase.formula) <= symbols)
        diagram, n_known, sparse_edges = _hull(self, symbols, inside, without)
        corners, on_hull = diagram.get_decomp_and_hull_energy_per_atom(composition)
        names = tuple(sorted(str(getattr(corner, "name", "")) for corner in corners))
        return HullDistance(energy_ev_atom - float(on_hull), n_known, sparse_edges, len(inside), names)

    @cached_property
    def elements(self) -> ElementalReferences:
        """The bundled references on the Materials Project's corrected scale; elsewhere the table's own elements, each
        with the lowest energy it has here."""
        if self.potential in MP2020_POTENTIALS:
            return elemental_references()
        lowest: dict[str, float] = {}
        for row in self._by_energy.tolist():
            found, energy = elements_of(self.formulas[row]), float(self.energies_ev_atom[row])
            if len(found) == 1 and np.isfinite(energy):
                lowest.setdefault(next(iter(found)), energy)
        return ElementalReferences(lowest, frozenset())

    def is_known(self, crystal_fingerprint: str) -> tuple[str, ...]:
        """Ids of the known materials with this fingerprint, lowest energy first; empty for a new one."""
        rows = self._by_fingerprint.get(crystal_fingerprint, ())
        return tuple(self.material_ids[row] for row in rows)

    def novelty(self, crystal: Structure) -> Novelty:
        """Is it new, and what is nearest: by fingerprint, by structure, by formula and space group, by composition.

        Where a known material of the same formula is to hand as a crystal, pymatgen's StructureMatcher with its default
        tolerances has the last word on that one; elsewhere equal fingerprints make it known.
        """
        code = fingerprint(crystal)
        same_formula = self._by_formula.get(crystal.composition.reduced_formula, ())
        matching = [row for row in same_formula if self.crystals and self.crystals[row]]
        if (same := self._match(crystal, matching)) is not None:
            return Novelty(False, self.label(same), 0.0, "structure")
        if isinstance(code, EncodeFailure):
            nearest, distance = self._nearest_composition(crystal.composition)
            return Novelty(len(matching) == len(same_formula), self.label(nearest), distance, "formula only")
        if rows := [row for row in self._by_fingerprint.get(code, ()) if row not in matching]:
            return Novelty(False, self.label(rows[0]), 0.0, "fingerprint")
        space_group = int(code.partition(":")[0])
        if rows := [row for row in same_formula if self.space_groups[row] == space_group]:
            return Novelty(True, self.label(rows[0]), 0.0, "formula and space group")
        nearest, distance = self._nearest_composition(crystal.composition)
        return Novelty(True, self.label(nearest), distance, "composition")

    def _match(self, crystal: Structure, rows: Iterable[int]) -> int | None:
        """The first of these rows whose crystal is this one."""
        matcher = StructureMatcher()
        return next((row for row in rows if matcher.fit(crystal, crystal_from_json(self.crystals[row]))), None)

    def label(self, row: int) -> str:
        """Id, formula and space group of a row, like "mp-149 Si (227)"."""
        group = self.space_groups[row]
        return f"{self.material_ids[row]} {self.formulas[row]} ({group if group else '?'})"

    def _nearest_composition(self, composition: Composition) -> tuple[int, float]:
        """Row and distance of the nearest composition.

        The earth mover's distance between atomic fractions on Pettifor's chemical order of the elements, in
        places along that order: 1.0 moves every atom to the neighbouring element (Hargreaves et al., Chem.
        Mater. 32, 10610 (2020)).
        """
        fractions = np.zeros((1, len(SYMBOLS)), dtype=np.float32)
        for symbol, x in composition.fractional_composition.get_el_amt_dict().items():
            fractions[0, COLUMN_OF[symbol]] = x
        distances = np.abs(self._cumulative - cumulative_in_chemical_order(fractions)).sum(axis=1)
        row = int(self._by_energy[np.argmin(distances[self._by_energy])])
        return row, round(float(distances[row]), 4)

    @cached_property
    def _fractions(self) -> NDArray[np.float32]:
        """Atomic fractions `[n, 103]` by atomic number."""
        return atomic_fractions(self.formulas).astype(np.float32)

    @cached_property
    def _cumulative(self) -> NDArray[np.float32]:
        return cumulative_in_chemical_order(self._fractions)

    @cached_property
    def _by_energy(self) -> NDArray[np.int64]:
        """Rows by rising energy, those without one last, so that ties go to the most stable known phase."""
        return np.argsort(self.energies_ev_atom, kind="stable")

    @cached_property
    def _by_fingerprint(self) -> dict[str, tuple[int, ...]]:
        return self._index(self.fingerprints)

    @cached_property
    def _by_formula(self) -> dict[str, tuple[int, ...]]:
        return self._index(self.formulas)

    def _index(self, keys: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
        found: dict[str, list[int]] = {}
        for row in self._by_energy.tolist():
            if keys[row]:
                found.setdefault(keys[row], []).append(row)
        return {key: tuple(rows) for key, rows in found.items()}


def _outside(symbols: Iterable[str]) -> NDArray[np.float32]:
    """`[103]`: 0 for these elements, 1 for others."""
    outside = np.ones(len(SYMBOLS), dtype=np.float32)
    outside[[COLUMN_OF[symbol] for symbol in symbols]] = 0
    return outside


def cumulative_in_chemical_order(fractions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fractions by atomic number `[n, 103]` -> cumulative along Pettifor's order, `[n, 103]`."""
    order = np.argsort(mendeleev_rank()[1 : len(SYMBOLS) + 1])
    return np.cumsum(fractions[:, order], axis=1, dtype=np.float32)


@lru_cache(maxsize=256)
def _hull(
    table: ReferenceTable, symbols: frozenset[str], competing: tuple[KnownPhase, ...], without: str
) -> tuple[PhaseDiagram, int, tuple[str, ...]]:
    """The phase diagram of known and competing phases, the number of known ones, and the binary edges without any."""
    known = tuple(phase for phase in table.entries(symbols) if phase.material_id != without)
    energies = table.elements.energy_ev_atom
    entries = [PDEntry(Composition(symbol), energies[symbol], name=symbol) for symbol in sorted(symbols)]
    for phase in (*known, *competing):
        composition = Composition(phase.formula)
        name = f"{phase.formula} ({phase.material_id})"
        entries.append(PDEntry(composition, phase.energy_ev_atom * composition.num_atoms, name=name))
    binaries = {frozenset(e.symbol for e in entry.composition.elements) for entry in entries}
    edges = tuple(f"{a}-{b}" for a, b in combinations(sorted(symbols), 2) if frozenset((a, b)) not in binaries)
    return PhaseDiagram(entries), len(known), edges


def _state(path: Path) -> FileState:
    """The file, and what changes when it is written anew."""
    place = path.resolve()
    try:
        found = place.stat()
    except OSError:  # whoever reads it will say why
        return place, 0, 0
    return place, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _load_all(path: FileState | None, own: tuple[FileState, ...]) -> ReferenceTable:
    table = _load(path)
    for each in own:
        table = table.with_rows_of(_load(each))
    if table.potential not in MP2020_POTENTIALS:
        return table
    listed = stable_phases()
    return replace(table, listed=listed, version=f"{table.version}+{listed.version}")


@lru_cache(maxsize=8)
def _load(path: FileState | None) -> ReferenceTable:
    rows = read_reference_rows(None if path is None else path[0])
    return ReferenceTable(
        material_ids=rows.material_ids,
        formulas=rows.formulas,
        space_groups=np.array(rows.space_groups),
        fingerprints=rows.fingerprints,
        energies_ev_atom=np.array(rows.energies_ev_atom),
        version=rows.version,
        potential=rows.potential,
        crystals=rows.crystals,
    )
