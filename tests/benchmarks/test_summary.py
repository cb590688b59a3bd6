"""The table of what was run."""

from __future__ import annotations

import json

import pytest

from benchmarks.search.publishing import publish
from benchmarks.search.summary import summarize
from campaigns.errors import UserError

SPEC = {
    "name": "t",
    "oracles": [{"kind": "external", "properties": {"height": "1"}}],
    "objectives": {"height": "maximize"},
    "budget": {"oracle_calls": 4},
}
POOL = {"generator": "g-1", "pool": 40, "hits": {"hits": ["a", "b", "c", "d"]}}


def write(folder, arm, seed, answers, figures):
    packages = {"torch": "1"}
    header = {"task": "t", "arm": arm, "seed": seed, "budget": 4, "command": "python -m benchmarks run", "spec": SPEC}
    lines = [{**header, "packages": packages, "figures": figures}]
    lines += [
        {"call": i + 1, "round": i, "of": 1, "label": "x", "seconds": 2.0, "answer": a} for i, a in enumerate(answers)
    ]
    folder.mkdir(exist_ok=True)
    (folder / f"{arm}-{seed}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_pool_is_held_against_random_draws(tmp_path):
    folder = tmp_path / "t"
    for seed, names in enumerate(("abxx", "xaxb", "axxx")):
        write(folder, "clever", seed, [{"name": n, "values": {}} for n in names], POOL)
    text = summarize(folder, None)
    assert "| clever | 3 | 1 (1 to 2); 8.2 | 4 (2 to censored); 4.1 |" in text
    assert "censored in 3 of 3" in text
    assert "`g-1`" in text
    assert "python -m benchmarks run" in text
    assert "| random draws, expected | | 8; 1 | 16; 1 |" in text
    drawn = (folder / "curves.svg").read_text()
    assert "clever (3 seeds)" in drawn
    assert "random draws, expected" in drawn
    assert not (folder / "variants.svg").exists()


def test_the_hit_that_keeps_a_pool_from_being_finished_is_named(tmp_path):
    folder = tmp_path / "t"
    for seed, names in enumerate(("abcd", "bacx", "cabd")):
        write(folder, "clever", seed, [{"name": n, "values": {}} for n in names], POOL)
    write(folder, "lost", 0, [{"name": "a", "values": {}}], POOL)
    told = summarize(folder, None)
    assert "clever: all but one after 3 (3 to 3); found last or not at all: d in 3 of 3." in told
    assert "lost: all but one" not in told


def test_an_arm_that_is_changed_is_drawn_apart_beside_the_product(tmp_path):
    folder = tmp_path / "t"
    for arm in ("latentore", "other", "latentore+descriptors=false"):
        write(folder, arm, 0, [{"values": {"height": 1.0}}], {"generator": "g-1"})
    told = summarize(folder, None)
    assert "Variants: " in told
    plain, variants = ((folder / f"{name}.svg").read_text() for name in ("curves", "variants"))
    assert [">other<" in plain, "descriptors=false" in plain] == [True, False]
    assert [">other<" in variants, "descriptors=false" in variants, ">latentore<" in variants] == [False, True, True]
    assert "best feasible height" in plain


def test_a_campaign_is_judged_by_its_best_feasible_value(tmp_path):
    folder = tmp_path / "t"
    values = [{"values": {"height": 1.0}}, {"values": None, "failure": "oracle_error"}, {"values": {"height": 3.0}}]
    write(folder, "climber", 0, values, {"generator": "g-1"})
    assert "| climber | 1 | 1 | 1 | 3 | 3 |" in summarize(folder, None)


def test_calls_to_a_known_optimum_are_told(tmp_path):
    folder = tmp_path / "t"
    for seed, heights in enumerate(((0.2, 1.0), (1.0, 0.3), (0.5, 0.9996))):
        write(folder, "climber", seed, [{"values": {"height": h}} for h in heights], {"optimum": 1.0})
        write(folder, "walker", seed, [{"values": {"height": min(h, 0.99)}} for h in heights], {"optimum": 1.0})
    told = summarize(folder, None)
    assert "| after 2 | calls to 1 |" in told
    climber, walker = (next(x for x in told.splitlines() if x.startswith(f"| {a} |")) for a in ("climber", "walker"))
    assert climber.endswith("| 2 (1 to 2) |")
    assert walker.endswith("| censored in 3 of 3 |")


def test_runs_of_different_generators_are_not_mixed(tmp_path):
    folder = tmp_path / "t"
    write(folder, "one", 0, [{"values": {"height": 1.0}}], {"generator": "g-1"})
    write(folder, "two", 0, [{"values": {"height": 1.0}}], {"generator": "g-2"})
    with pytest.raises(UserError, match="another generator"):
        summarize(folder, None)
    with pytest.raises(UserError, match="no run of these arms"):
        summarize(folder, ["three"])


def test_on_a_pool_the_latents_decide_what_is_the_same(tmp_path):
    """A generator that decodes otherwise charges the same crystal for the same proposal."""
    folder, answers = tmp_path / "t", [{"name": "a", "values": {}}]
    write(folder, "one", 0, answers, POOL | {"neighbours": "n-1"})
    write(folder, "two", 0, answers, POOL | {"neighbours": "n-1", "generator": "g-2"})
    assert "generator `g-1`, `g-2`" in summarize(folder, None)
    write(folder, "two", 1, answers, POOL | {"neighbours": "n-2", "generator": "g-2"})
    with pytest.raises(UserError, match="another generator"):
        summarize(folder, None)


def test_published_runs_tell_the_same_and_name_no_folder(tmp_path):
    folder = tmp_path / "t"
    for seed, names in enumerate(("abxc", "abx")):  # the second is not at its end
        write(folder, "clever", seed, [{"name": n, "values": {}} for n in names], POOL)
    lines = (folder / "clever-0.jsonl").read_text()
    (folder / "clever-0.jsonl").write_text(
        lines.replace("benchmarks run", "benchmarks run --data /home/me/a.csv --out x")
    )
    (written,) = publish(folder, tmp_path / "results" / "t")
    assert written.name == "clever-0.jsonl.gz"
    text = summarize(written.parent, None)
    assert "python -m benchmarks run --data a.csv\n" in text
    assert "| clever | 1 | 1; 8.2 | 2; 8.2 |" in text
    with pytest.raises(UserError, match="holds no run that ended"):
        publish(tmp_path / "empty", tmp_path / "results")
