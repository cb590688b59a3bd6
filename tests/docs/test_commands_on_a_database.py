"""A campaign that hosts share, with the commands that docs/cluster.md types for each of them."""

from __future__ import annotations

from documentation import DOCS, blocks, commands
from postgresql_server import database, postgresql
from shared_fixtures import caches_of_its_own, optimize
from tiny_docs_campaign import tiny_campaign

from campaigns.spec import parse_spec
from campaigns.yaml_files import parse_yaml


def test_one_host_runs_and_another_works(optimize, tmp_path, database, monkeypatch):
    """The file as it is shown, with a campaign that takes seconds in place of its own."""
    (shown,) = [parse_yaml(body) for body in blocks(DOCS / "cluster.md", "yaml") if "\nledger:" in body]
    spec = parse_spec(shown)
    typed = [words[1:] for words in commands(DOCS / "cluster.md") if words[2:] == [f"{spec.name}.yaml"]]
    assert typed == [["run", "shared.yaml"], ["work", "shared.yaml"]]
    text = tiny_campaign(spec.name) + f"schedule: {spec.schedule}\nledger: {database}\n"
    for host, words in zip(("here", "elsewhere"), typed, strict=True):
        (tmp_path / host).mkdir()
        (tmp_path / host / "shared.yaml").write_text(text)
        monkeypatch.chdir(tmp_path / host)
        code, out, err = optimize(*words)
        assert (code, err) == (0, ""), out
        assert (tmp_path / host / "runs" / "shared" / "ledger.url").is_file()
    assert "0 candidates measured here" in out  # the driver had ended


__all__ = ["caches_of_its_own", "database", "optimize", "postgresql"]
