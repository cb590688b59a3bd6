"""What `benchmarks.fuzz` tries: each subject has good files, ways to spoil them, and the code that reads them.

`use` returns ("accepted", what was said), or raises the UserError that a person would read.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pymatgen.core import Lattice, Structure

from benchmarks.mutations import OF_CRYSTALS, OF_TABLES, OF_YAML, Mutation
from campaigns.kinds import build_kind, kind_params
from campaigns.places import LEDGER
from campaigns.records import Candidate, last_values
from campaigns.spec import CampaignSpec, KindSpec, dump_spec, load_spec, parse_spec
from campaigns.store import CampaignStore
from optimizer.build import Parts, build
from optimizer.manifest import CANDIDATE, FAILURE, FILE, FORMULA, RELAXED
from optimizer.protocols import OracleContext, StartContext
from optimizer.references import ReferenceTable
from optimizer.starting import start_phase
from optimizer.telling import tell_campaign

GOOD = Path(__file__).parents[1] / "tests" / "specs" / "valid"
ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
ROLES = {"generator": "generator", "surrogate": "surrogate", "acquisition": "acquisition", "executor": "executor"}
OUTSIDE: dict[str, Any] = {
    "name": "outside",
    "oracles": [{"kind": "external", "properties": {"band_gap_ev": "eV", "hardness_gpa": "GPa"}}],
    "objectives": {"band_gap_ev": "maximize"},
    "budget": {"oracle_calls": 9},
}
HEADER = [CANDIDATE, FORMULA, FILE, "band_gap_ev [eV]", "band_gap_ev uncertainty [eV]", "hardness_gpa [GPa]"]
MANIFEST = f"""{",".join([*HEADER, FAILURE, RELAXED])}
000-0000,NaCl,cif/000-0000.cif,5.5,0.1,3.25,,
000-0001,NaCl,cif/000-0001.cif,5.75,,3,,relaxed.cif
000-0002,NaCl,cif/000-0002.cif,,,,unconverged,
000-0003,NaCl,cif/000-0003.cif,,,,,
"""
SYMMETRIC = """data_rock_salt
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
_cell_length_a 5.6
_cell_length_b 5.6
_cell_length_c 5.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na+ 0 0 0
Cl1 Cl- 0.5 0.5 0.5
"""
Said = tuple[str, str]


@dataclass(frozen=True)
class Subject:
    """`reset` is called before each case; `state` returns what a refusal must leave as it was."""

    name: str
    sources: Mapping[str, bytes]
    ways: tuple[Mutation, ...]
    use: Callable[[Path], Said]
    reset: Callable[[], None] = lambda: None
    state: Callable[[], Any] = lambda: None


def of_specs(folder: Path) -> Subject:
    """Campaign files, as far as they can be read without building anything."""
    return Subject("spec", _campaign_files(folder), OF_YAML, _read_spec)


def of_plans(folder: Path) -> Subject:
    """Campaign files, through everything that `optimize check` builds."""
    return Subject("plan", _campaign_files(folder), OF_YAML, _plan)


def _campaign_files(folder: Path) -> dict[str, bytes]:
    shutil.copytree(GOOD / "files", folder / "files")
    return {file.name: file.read_bytes() for file in GOOD.glob("*.yaml")}


def _read_spec(path: Path) -> Said:
    spec = load_spec(path)
    copy = path.with_suffix(".copy")
    copy.write_text(dump_spec(spec), encoding="utf-8")
    assert dump_spec(load_spec(copy)) == dump_spec(spec)  # what the run folder keeps is the same campaign
    for role in ROLES:
        kind_params(role, getattr(spec, role), role)
    for place, oracle in enumerate(spec.oracles):
        kind_params("oracle", oracle, f"oracles.{place}")
    for place, start in enumerate(spec.start):
        kind_params("start", start, f"start.{place}")
    return "accepted", ""


def _plan(path: Path) -> Said:
    build(load_spec(path), path.parent)
    return "accepted", ""


def of_results(folder: Path) -> Subject:
    """The manifest that comes back from whoever measured, told to a ledger."""
    spec = parse_spec(OUTSIDE)
    kept, run = folder / "kept", folder / "run"
    with CampaignStore.create(kept, spec, provenance={}) as store:
        names = [f"000-{n:04d}" for n in range(4)]
        store.finish_phase(0, "start", candidates=[Candidate(each, 0, "test", ROCK_SALT, None, "g") for each in names])
        for each in names:
            store.await_outside(each, ())
        store.handed_out(names)
    ROCK_SALT.to(str(folder / "relaxed.cif"))
    good = MANIFEST.encode()
    return Subject(
        "tell",
        {"results.csv": good},
        OF_TABLES,
        partial(_tell, spec, run),
        partial(_fresh, kept, run),
        partial(_told, run),
    )


def _fresh(kept: Path, run: Path) -> None:
    run.mkdir(exist_ok=True)
    for left in (f"{LEDGER}-wal", f"{LEDGER}-shm"):
        (run / left).unlink(missing_ok=True)
    shutil.copy(kept / LEDGER, run / LEDGER)


def _told(run: Path) -> Any:
    with CampaignStore.open(run) as store:
        return (
            {name: last_values(stages) for name, stages in store.outcomes().items()},
            store.driver,
            len(store.awaited()),
        )


def _tell(spec: CampaignSpec, run: Path, path: Path) -> Said:
    report = tell_campaign(spec, path, run_folder=run)
    recorded, driver, awaited = _told(run)
    assert (sorted(recorded), driver, awaited) == (sorted(report.recorded), None, 4 - len(report.recorded))
    for number, refusal in report.refused.items():
        said = f"row {number}: {refusal.candidate_id} {refusal.reason}"
        assert len(said.splitlines()) == 1, said
    return ("accepted" if report.recorded or not report.refused else "refused"), ""


def of_start_tables(folder: Path) -> Subject:
    """A labelled table with CIFs, through round 0 of a campaign."""
    table = (GOOD / "files" / "densities.csv").read_bytes()
    return Subject("start", {"start.csv": table}, OF_TABLES, partial(_begin, _parts(folder), "table"))


def of_crystals(folder: Path) -> Subject:
    """Files of crystals in three formats, through round 0 of a campaign."""
    import json

    from ase.io import write
    from pymatgen.io.ase import AseAtomsAdaptor

    write(folder / "good.extxyz", AseAtomsAdaptor.get_atoms(ROCK_SALT, msonable=False))
    disordered = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    sources = {
        **{file.name: file.read_bytes() for file in (GOOD / "files" / "seeds").glob("*.cif")},
        "symmetric.cif": SYMMETRIC.encode(),
        "disordered.cif": disordered.to(fmt="cif").encode(),
        "crystals.json": json.dumps([ROCK_SALT.as_dict(), {"structure": ROCK_SALT.as_dict(), "id": "x"}]).encode(),
        "crystals.extxyz": (folder / "good.extxyz").read_bytes(),
    }
    return Subject("crystal", sources, OF_CRYSTALS, partial(_begin, _parts(folder), "crystals"))


def _parts(folder: Path) -> Parts:
    wanted = {
        "name": "begin",
        "oracles": ["volume", "density"],
        "objectives": {"density_g_cm3": "minimize"},
        "budget": {"oracle_calls": 9},
    }
    return build(parse_spec(wanted), folder)


def _begin(parts: Parts, kind: str, path: Path) -> Said:
    context = StartContext(str(path.parent), parts.objective.properties, parts.cascade.sources)
    start = build_kind("start", KindSpec(kind=kind, path=path.name), context, "start.0")
    run = path.with_name(f"{path.name}-run")
    said: list[str] = []
    try:
        with CampaignStore.create(run, parts.spec, provenance={}) as store:
            start_phase(replace(parts, starts=((kind, start),)), store, said.append)
            assert {c.id for c in store.candidates()} >= set(store.outcomes())
            for candidate in store.candidates():
                parts.cascade.evaluate(candidate.crystal, 0)
    finally:
        shutil.rmtree(run, ignore_errors=True)
    return "accepted", " ".join(said)


def of_references(folder: Path) -> Subject:
    """A user's own table of known crystals."""
    table = (GOOD / "files" / "known.csv").read_bytes()
    more = table + b'other,MgO,225,"225:MgO:4a-Mg,4b-O",-6.0,chgnet-0.3.0\nnone,Mg3O,,,,chgnet-0.3.0\n'
    return Subject("reference", {"known.csv": table, "more.csv": more}, OF_TABLES, _refer)


def _refer(path: Path) -> Said:
    table = ReferenceTable.load(own=(path,))
    table.novelty(ROCK_SALT)
    table.hull_distance(ROCK_SALT.composition, -3.5)
    return "accepted", ""


def of_lookups(folder: Path) -> Subject:
    """A table that an oracle looks values up in."""
    gaps = (GOOD / "files" / "gaps.csv").read_bytes()
    return Subject("lookup", {"gaps.csv": gaps}, OF_TABLES, partial(_ask_oracle, _lookup))


def of_predictors(folder: Path) -> Subject:
    """A table that an oracle learns from."""
    table = (GOOD / "files" / "labelled.csv").read_bytes()
    return Subject("predictor", {"labelled.csv": table}, OF_TABLES, partial(_ask_oracle, _predictor))


def _lookup(name: str) -> KindSpec:
    wanted = {"gap_ev": {"unit": "eV", "column": "gap"}, "gap_error_ev": "eV"}
    return KindSpec(kind="lookup", path=name, match="formula", key="compound", properties=wanted)


def _predictor(name: str) -> KindSpec:
    said = {"property": "hardness_gpa", "unit": "GPa", "column": "hardness", "formula_column": "formula"}
    return KindSpec(kind="predictor", path=name, model="boosting", confidence=0.5, **said)


def _ask_oracle(spec: Callable[[str], KindSpec], path: Path) -> Said:
    oracle = build_kind("oracle", spec(path.name), OracleContext("cpu", str(path.parent)), "oracles.0")
    ((_, outcome),) = oracle.evaluate([ROCK_SALT], seed=0)
    return "accepted", getattr(outcome, "message", "")


SUBJECTS: Mapping[str, Callable[[Path], Subject]] = {
    "spec": of_specs,
    "plan": of_plans,
    "tell": of_results,
    "start": of_start_tables,
    "crystal": of_crystals,
    "reference": of_references,
    "lookup": of_lookups,
    "predictor": of_predictors,
}
