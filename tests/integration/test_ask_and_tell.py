"""A campaign whose values come from outside: the same as one measured inside, whatever happens on the way."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Structure
from tiny_campaigns import EMT, contents, emt_campaign

from campaigns.records import FailureCode, Measured, first_failure, kept_out, last_uncertainties, last_values
from campaigns.store import CampaignStore
from generative.models.wyckoff_vae import WyckoffVae
from generative.representations.wyckoff import fingerprint

NAME = "outside"
INSIDE = """
def measure(crystal):
    return round(crystal.volume / len(crystal), 4)
"""
VALUE = "bulk_ang3_atom [angstrom^3/atom]"
ERROR = "bulk_ang3_atom uncertainty [angstrom^3/atom]"
EXTERNAL = {"kind": "external", "properties": {"bulk_ang3_atom": "angstrom^3/atom"}}


def campaign(**changes: Any) -> dict[str, Any]:
    wanted = {"oracles": [EXTERNAL], "objectives": {"bulk_ang3_atom": "minimize"}, "pool_size": 32}
    return emt_campaign(NAME, **(wanted | changes))


@pytest.fixture
def ask(optimize, tmp_path) -> Callable[..., dict[str, Any]]:
    def call(path: Path, *options: object) -> dict[str, Any]:
        code, out, err = optimize("ask", path, "--json", *options)
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


def rows_of(folder: str | Path) -> list[dict[str, str]]:
    with open(Path(folder) / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def save(rows: list[dict[str, str]], path: Path) -> Path:
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def read(folder: str, row: dict[str, str]) -> Structure:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fractional coordinates rounded to ideal values")
        return Structure.from_file(Path(folder) / row["file"])


def measured(row: dict[str, str], folder: str) -> dict[str, str]:
    crystal = read(folder, row)
    return row | {VALUE: repr(round(crystal.volume / len(crystal), 4))}


def asked_and_told(optimize, ask, path: Path, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Ask and tell in shuffled halves until the budget is spent."""
    shuffle = random.Random(5).shuffle
    while (asked := ask(path, "-n", 2))["folder"]:
        yield asked
        rows = [measured(row, asked["folder"]) for row in rows_of(asked["folder"])]
        shuffle(rows)
        for part in filter(None, (rows[1:], rows)):  # the second table repeats the first
            assert optimize("tell", path, save(part, tmp_path / "results.csv"))[0] == 0


def without_stages(ledger: dict[str, Any]) -> dict[str, Any]:
    """Candidates, rounds, generators, latents, and of the outcomes what was measured."""
    values = {name: [value for _, _, value in stages] for name, stages in ledger["outcomes"].items()}
    return ledger | {"outcomes": values}


def test_the_same_ledger_as_with_the_oracle_inside(optimize, ask, write, tmp_path, monkeypatch):
    monkeypatch.setattr("optimizer.refinement.SAMPLES", 5)
    monkeypatch.setattr("optimizer.refinement.losses", lambda figures: [])  # every refinement is accepted
    held_out = WyckoffVae.held_out
    monkeypatch.setattr(WyckoffVae, "held_out", lambda self: held_out(self)[:5])
    shared = {
        "generator": {"kind": "wyckoff_vae", "refine_steps": 2},
        "refine": {"every": 1},
        "start": [{"kind": "generator_samples", "n": 2}],
        "batch_size": 2,
        "space": {"elements": {"include": ["Cu", "Au", "Ni", "Al", "O"]}, "n_elements": 2, "n_atoms": [2, 4]},
        "budget": {"oracle_calls": 5},
    }
    inside = {"kind": "python", "function": "inside.py:measure", "properties": EXTERNAL["properties"]}
    (tmp_path / "inside.py").write_text(INSIDE)
    assert optimize("run", write(campaign(oracles=[inside], **shared)), "--runs-dir", "inside", "-q")[0] == 0

    path = write(campaign(**shared))
    folders = [asked["folder"] for asked in asked_and_told(optimize, ask, path, tmp_path)]
    assert [Path(folder).name for folder in folders] == ["001", "002", "003"]
    outside = without_stages(contents(tmp_path / "runs" / NAME))
    assert outside == without_stages(contents(tmp_path / "inside" / NAME))
    assert len(outside["outcomes"]) == 5
    assert len(outside["generators"]) == 2
    assert ask(path)["why"] == "the budget of 5 calls is spent or handed out"


@pytest.fixture
def asked(ask, write) -> tuple[Path, dict[str, Any]]:
    path = write(campaign(start=[{"kind": "generator_samples", "n": 4}]))
    return path, ask(path, "-n", 4)


def ledger(tmp_path: Path) -> CampaignStore:
    return CampaignStore.open(tmp_path / "runs" / NAME)


def test_wrong_rows_are_refused_with_the_reason_and_the_others_kept(optimize, asked, tmp_path):
    path, report = asked
    good, *others = [measured(row, report["folder"]) for row in rows_of(report["folder"])]
    wrong = [
        (others[0] | {VALUE: "12,5"}, "is '12,5', which is no finite number"),
        (others[0] | {VALUE: "inf"}, "is 'inf', which is no finite number"),
        (others[0] | {VALUE: "nan"}, "is 'nan', which is no finite number"),
        (others[0] | {VALUE: ""} | {ERROR: "0.1"}, "has no bulk_ang3_atom; fill in every property"),
        (others[0] | {ERROR: "-1"}, "is -1, below zero"),
        (others[0] | {"failure": "melted"}, "has a failure and bulk_ang3_atom; keep one or the other"),
        (others[0] | {"relaxed_file": "gone.cif"}, "no such file beside the table"),
        (others[0] | {"relaxed_file": "a\0b.cif"}, "cannot be looked for: embedded null byte"),
        (others[0] | {"relaxed_file": "a" * 300}, "cannot be looked for: "),
        (others[0] | {"candidate": "000-0099"}, "was never proposed in outside"),
        (good | {VALUE: "1.0"}, "row 2 of the same table says otherwise"),
    ]
    code, out, err = optimize("tell", path, save([good, *(row for row, _ in wrong)], tmp_path / "r.csv"))
    assert code == 2
    assert out.startswith("1 recorded, 0 told before, 11 refused; 3 candidates wait")
    *lines, last = err.splitlines()
    for number, (line, (_, reason)) in enumerate(zip(lines, wrong, strict=True), start=3):
        assert f"row {number}: " in line
        assert reason in line
    assert "11 rows refused; everything else is kept." in last
    with ledger(tmp_path) as store:
        assert list(store.outcomes()) == [good["candidate"]]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (VALUE.partition(" ")[0], "names no unit. Give it in angstrom^3/atom"),
        ("bulk_ang3_atom [nm^3/atom]", "is in 'nm^3/atom'. Give it in angstrom^3/atom"),
        ("notes", f"has no column '{VALUE}'"),
    ],
)
def test_a_table_without_the_column_or_in_another_unit_is_refused_whole(optimize, asked, tmp_path, header, reason):
    path, report = asked
    rows = [measured(row, report["folder"]) for row in rows_of(report["folder"])]
    renamed = [{header if name == VALUE else name: cell for name, cell in row.items()} for row in rows]
    code, out, err = optimize("tell", path, save(renamed, tmp_path / "r.csv"))
    assert (code, out) == (2, "")
    assert reason in err
    with ledger(tmp_path) as store:
        assert store.outcomes() == {}


def test_told_twice_is_told_once_and_another_value_needs_a_word(optimize, asked, tmp_path):
    path, report = asked
    first, second, *_ = [measured(row, report["folder"]) | {ERROR: "0.25"} for row in rows_of(report["folder"])]
    second |= {VALUE: "", ERROR: "", "failure": "Unconverged"}
    table = save([first, second], tmp_path / "r.csv")
    assert "2 recorded" in optimize("tell", path, table)[1]
    before = contents(tmp_path / "runs" / NAME)
    assert "0 recorded, 2 told before" in optimize("tell", path, table)[1]
    assert contents(tmp_path / "runs" / NAME) == before
    with ledger(tmp_path) as store:
        outcomes = store.outcomes()
        assert last_uncertainties(outcomes[first["candidate"]]) == {"bulk_ang3_atom": 0.25}
        assert first_failure(outcomes[second["candidate"]]).code is FailureCode.UNCONVERGED
        assert store.spent().calls == 2

    table = save([first | {VALUE: "11.5"}, second | {"failure": "the furnace broke"}], tmp_path / "r.csv")
    code, _, err = optimize("tell", path, table)
    assert code == 2
    assert err.count("was told before and differs; --replace makes this the one that counts") == 2
    assert contents(tmp_path / "runs" / NAME) == before
    assert "2 replaced" in optimize("tell", path, table, "--replace")[1]
    with ledger(tmp_path) as store:
        outcomes = store.outcomes()
        assert last_values(outcomes[first["candidate"]]) == {"bulk_ang3_atom": 11.5}
        assert first_failure(outcomes[second["candidate"]]).message == "the furnace broke"
        assert first_failure(outcomes[second["candidate"]]).code is FailureCode.EXTERNAL_FAILURE
        was = [event.data["was"] for event in store.events() if event.kind == "replaced"]
        (told,) = was[0]
        assert (told["stage"], told["failure"]) == ("external", None)
        assert told["properties"] == {"bulk_ang3_atom": float(first[VALUE])}
        assert told["details"] == {"uncertainties": {"bulk_ang3_atom": 0.25}}
        assert store.spent().calls == 2


def test_asking_again_before_everything_is_told_minds_what_is_pending(optimize, ask, asked, tmp_path):
    path, report = asked
    rows = [measured(row, report["folder"]) | {ERROR: "0.1"} for row in rows_of(report["folder"])]
    assert optimize("tell", path, save(rows[:2], tmp_path / "r.csv"))[0] == 0
    more = ask(path, "-n", 9)
    assert more["candidates"] == ["001-0000", "001-0001", "001-0002", "001-0003"]  # of 8 calls 4 were handed out
    assert (more["awaited"], more["calls_left"]) == (6, 0)
    formulas = [row["formula"] for row in rows_of(more["folder"])]
    with ledger(tmp_path) as store:
        assert {row["candidate"] for row in rows[2:]} <= {c.id for c in store.pending()}
        assert len({fingerprint(c.crystal) for c in store.candidates()}) == 8  # nothing twice
        assert [(r.round, r.phase) for r in store.rounds()] == [(0, "start"), (1, "propose")]
        figures = store.rounds()[1].figures["surrogate"]["bulk_ang3_atom"]
        assert figures["noise_sd"] == pytest.approx(0.1, rel=1e-6)
    assert len(formulas) == 4

    lost = ask(path, "--again", "--out", tmp_path / "again")  # the folders are gone, say
    assert lost["candidates"] == [*(row["candidate"] for row in rows[2:]), *more["candidates"]]
    both = [measured(row, lost["folder"]) for row in rows_of(lost["folder"])]
    assert optimize("tell", path, save(both, tmp_path / "r.csv"))[0] == 0
    assert ask(path)["folder"] is None
    with ledger(tmp_path) as store:
        assert {(r.round, r.phase) for r in store.rounds()} == {
            *((0, "start"), (0, "evaluate")),
            *((1, "propose"), (1, "evaluate")),
        }
    assert optimize("export", path.stem)[0] == 0


def test_stages_in_front_are_computed_before_anything_is_handed_out(optimize, ask, write, tmp_path):
    """With EMT for the relaxation; a crystal that relaxes further outside comes back with its value."""
    relax = {"kind": "relax", "calculator": EMT, "max_steps": 30}
    path = write(campaign(oracles=[relax, EXTERNAL], start=[{"kind": "generator_samples", "n": 4}]))
    report = ask(path, "-n", 8, "--vasp", "MPRelaxSet")
    with ledger(tmp_path) as store:
        candidates, waiting = {c.id: c for c in store.candidates()}, store.awaited()
        failed = [name for name, stages in store.outcomes().items() if first_failure(stages)]
        assert [each.candidate_id for each in waiting] == report["candidates"]
        assert set(report["candidates"]) | set(failed) == set(candidates)
        assert store.spent().calls == 0  # what failed here costs none
        relaxed = waiting[0].stages[0].outcome
        assert isinstance(relaxed, Measured)
    row = rows_of(report["folder"])[0]
    handed_out = read(report["folder"], row)
    assert handed_out.volume == pytest.approx(relaxed.crystal.volume, rel=1e-6)
    inputs = Path(report["folder"]) / "vasp" / row["candidate"]
    assert {each.name for each in inputs.iterdir()} == {"INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"}
    assert "POTCAR files are covered by the VASP licence" in report["notes"][0]

    squeezed = handed_out.copy().scale_lattice(handed_out.volume * 0.98)
    squeezed.to(str(tmp_path / "CONTCAR"), fmt="poscar")
    told = save([measured(row, report["folder"]) | {"relaxed_file": "CONTCAR"}], tmp_path / "r.csv")
    assert optimize("tell", path, told)[0] == 0
    with ledger(tmp_path) as store:
        here, outside, *_ = store.outcomes()[row["candidate"]]
        assert (here.stage, outside.stage) == ("relax", "external")
        assert outside.outcome.crystal.volume == pytest.approx(squeezed.volume, rel=1e-6)
        assert store.spent().calls == 1


def test_who_relaxed_out_of_the_space_is_told_and_none_is_no_failure(optimize, ask, write, tmp_path):
    space = {"elements": {"include": ["Cu", "Au", "Ag"]}, "n_elements": 2, "n_atoms": [2, 6], "min_distance_ang": 2.0}
    path = write(campaign(start=[{"kind": "generator_samples", "n": 4}], space=space))
    report = ask(path, "-n", 2)
    first, second = rows_of(report["folder"])
    crystal = read(report["folder"], first)
    crystal.scale_lattice(crystal.volume / 8).to(str(tmp_path / "CONTCAR"), fmt="poscar")
    rows = [measured(first, report["folder"]) | {"relaxed_file": "CONTCAR"}, second | {"failure": "none"}]
    code, out, err = optimize("tell", path, save(rows, tmp_path / "r.csv"))
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "1 recorded, 0 told before, 1 rows not filled in" in words
    assert f"{first['candidate']}: its values are kept, but the relaxed crystal left the search space" in words
    rows[0]["relaxed_file"] = ""
    assert "1 replaced" in optimize("tell", path, save(rows[:1], tmp_path / "r.csv"), "--replace")[1]
    with ledger(tmp_path) as store:
        assert first_failure(store.outcomes()[first["candidate"]]) is None
        assert first["candidate"] in store.outcomes()
        assert second["candidate"] not in store.outcomes()
    status = json.loads(optimize("status", path.stem, "--json")[1])
    assert status["seconds_left"] is None  # nobody here knows how long a measurement takes


def test_only_who_keeps_the_rule_and_the_calls_of_the_oracle_is_handed_out(optimize, ask, write, tmp_path):
    start = {"start": [{"kind": "generator_samples", "n": 6}]}
    ask(write(campaign(oracles=["density", EXTERNAL], **start)), "-n", 6, "--runs-dir", "free")
    with CampaignStore.open(tmp_path / "free" / NAME) as store:
        densities = {each.candidate_id: last_values(each.stages)["density_g_cm3"] for each in store.awaited()}
    limit = sorted(densities.values())[4] - 1e-6  # four are below it
    kept = [name for name, density in densities.items() if density <= limit]
    ruled = EXTERNAL | {"only_if": {"density_g_cm3": {"max": limit}}}
    asked = ask(write(campaign(oracles=["density", ruled], **start)), "-n", 6, "--runs-dir", "ruled")
    assert asked["candidates"] == kept
    with CampaignStore.open(tmp_path / "ruled" / NAME) as store:
        stopped = store.outcomes()
        assert {kept_out(stages).code for stages in stopped.values()} == {FailureCode.STOPPED_BY_RULE}
        assert set(store.spent().stage_failures.values()) == {0}  # which is no failure
        assert {*stopped, *kept} == set(densities)
        assert store.spent().calls == 0

    path = write(campaign(oracles=["density", ruled | {"max_calls": 2}], **start))
    assert ask(path, "-n", 6, "--runs-dir", "counted")["candidates"] == kept[:2]
    more = ask(path, "-n", 6, "--runs-dir", "counted")  # nothing was told yet
    assert (more["candidates"], more["why"]) == ([], "the calls of external are spent or handed out")
    with CampaignStore.open(tmp_path / "counted" / NAME) as store:
        assert [r.phase for r in store.rounds()] == ["start"]


def test_what_cannot_be_asked_is_refused_before_anything_is_written(optimize, ask, asked, write, tmp_path):
    path, report = asked
    code, _, err = optimize("run", path)
    assert code == 2
    assert "oracles.0: its values come from outside, so nothing can run through. Use `optimize ask`" in err
    for option, reason in (
        (["--vasp", "MPRelaxSett"], "Did you mean 'MPRelaxSet'?"),
        (["--vasp", "NEBSet"], "NEBSet needs more than a crystal"),
        (["--out", report["folder"]], "is there already. Name a new or an empty folder."),
    ):
        code, _, err = optimize("ask", path, *option)
        assert code == 2
        assert reason in err
    assert len(list((tmp_path / "runs" / NAME / "asked").iterdir())) == 1
    code, _, err = optimize("ask", write(emt_campaign("computed")))
    assert code == 2
    assert "every property is computed here" in err


def test_status_tells_what_is_out(optimize, asked):
    path, _ = asked
    found = json.loads(optimize("status", path.stem, "--json")[1])
    assert found["state"].startswith("waiting")
    assert found["candidates"] == {"proposed": 4, "evaluated": 0, "pending": 4, "handed_out": 4}
    assert "4 handed out and not told" in optimize("status", path.stem)[1]


STORE = "campaigns.store:CampaignStore"
WHILE_ASKING = [  # in the order in which an ask comes by
    [f"{STORE}.await_outside", "after", 2],
    ["optimizer.handing_out:_fill", "after", 1],  # written, and the folder has no name yet
    [f"{STORE}.handed_out", "before", 1],  # it has, and the ledger does not know
]


def test_a_kill_at_any_moment_of_asking_and_telling_is_harmless(optimize, ask, write, tmp_path, monkeypatch):
    path = write(campaign(start=[{"kind": "generator_samples", "n": 4}]))
    whole = ask(path, "-n", 4, "--runs-dir", "undisturbed")
    (tmp_path / "moments.json").write_text(json.dumps([*WHILE_ASKING, None]))
    program = [sys.executable, Path(__file__).with_name("mortal.py"), tmp_path / "moments.json", "ask", path, "-n", "4"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True)
    deaths = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert deaths == [*[[signal.SIGKILL, 0]] * len(WHILE_ASKING), [0, 0]], done.stderr
    with ledger(tmp_path) as store, CampaignStore.open(tmp_path / "undisturbed" / NAME) as undisturbed:
        assert [each.candidate_id for each in store.awaited() if each.handed_out_at] == whole["candidates"]
        assert [c.crystal for c in store.candidates()] == [c.crystal for c in undisturbed.candidates()]
    folders = sorted((tmp_path / "runs" / NAME / "asked").iterdir())
    assert [each.name for each in folders] == ["001", "002"]  # the first was not noted any more
    folder = folders[-1]
    rows = [measured(row, str(folder)) for row in rows_of(folder)]
    assert rows == [measured(row, whole["folder"]) for row in rows_of(whole["folder"])]
    table = save(rows, tmp_path / "results.csv")
    record, calls = CampaignStore.record, []

    def broken_off(*arguments: Any, **named: Any) -> bool:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return record(*arguments, **named)

    monkeypatch.setattr(CampaignStore, "record", broken_off)
    assert optimize("tell", path, table)[0] != 0
    with ledger(tmp_path) as store:
        assert len(store.outcomes()) == 2
    assert "2 recorded, 2 told before" in optimize("tell", path, table)[1]
    with ledger(tmp_path) as store:
        assert [last_values(stages)["bulk_ang3_atom"] for stages in store.outcomes().values()] == [
            float(row[VALUE]) for row in rows
        ]
        assert store.spent().calls == 4
        assert store.driver is None
