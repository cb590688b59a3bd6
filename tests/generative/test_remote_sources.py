"""Crystals from elsewhere: a stand-in server answers as the real ones do; without one it is one line."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlparse

import pytest
from pymatgen.core import Lattice, Structure

from campaigns.errors import UserError
from generative import remote_sources
from generative.crystal_formats import read_rows
from generative.loading import load_crystals
from generative.remote_sources import fetched, is_remote

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
NOBODY = "http://127.0.0.1:9"  # the port that discards


@pytest.fixture
def serve(monkeypatch, tmp_path) -> Iterator[Callable[[Callable[[str], bytes]], str]]:
    """Start a server that answers paths by a function; the address. What was asked stands in `serve.asked`."""
    monkeypatch.setenv("LATENTORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer: Callable[[str], bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = answer(self.path)
                self.send_response(200 if content else 404)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def optimade_entry(name: str, crystal: Structure = SALT) -> dict:
    symbols = [site.specie.symbol for site in crystal]
    return {
        "id": name,
        "type": "structures",
        "attributes": {
            "lattice_vectors": crystal.lattice.matrix.tolist(),
            "cartesian_site_positions": crystal.cart_coords.tolist(),
            "species_at_sites": symbols,
            "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in sorted(set(symbols))],
        },
    }


def test_an_optimade_provider_is_asked_page_by_page_and_once(serve):
    asked = []

    def answer(path: str) -> bytes:
        asked.append(path)
        if "page=2" in path:
            return json.dumps({"data": [{"id": "b", "attributes": {}}], "links": {"next": None}}).encode()
        following = {"href": f"{address}/v1/structures?page=2"}
        return json.dumps({"data": [optimade_entry("a")], "links": {"next": following}}).encode()

    address = serve(answer)
    source = Path(f'optimade:{address}?elements HAS ALL "Na","Cl" AND nelements=2')  # as the command line gives it
    assert is_remote(source)
    crystals = load_crystals(source)
    assert crystals.names == ("a", "b")
    good, bad = crystals.readable()
    assert isinstance(good, Structure)
    assert good.matches(SALT)
    assert "structure" in bad.message
    query = parse_qs(urlparse(asked[0]).query)
    assert query["filter"] == ['elements HAS ALL "Na","Cl" AND nelements=2']
    assert len(asked) == 2
    assert [name for name, _, _ in read_rows(source, "cif")] == ["a", "b"]
    assert len(asked) == 2  # from the cache


def test_a_provider_with_too_many_pages_is_no_whole_set(serve, monkeypatch):
    monkeypatch.setattr(remote_sources, "MOST_PAGES", 3)

    def answer(path: str) -> bytes:
        following = {"href": f"{address}/v1/structures?page=next"}
        return json.dumps({"data": [optimade_entry("a")], "links": {"next": following}}).encode()

    address = serve(answer)
    for _ in range(2):  # nothing was kept
        with pytest.raises(UserError, match=r"more than 3 pages\. Narrow the filter"):
            load_crystals(Path(f"optimade:{address}?nelements=2"))


@pytest.fixture
def data_set(serve, monkeypatch) -> Callable[..., str]:
    """matminer's metadata of `castelli_perovskites`, for a table of ours."""

    def make(columns: list[str], rows: list[list[object]], sha: str | None = None) -> str:
        content = gzip.compress(json.dumps({"columns": columns, "index": [0], "data": rows}).encode())
        said = {"url": serve(lambda path: content) + "/file", "hash": sha or hashlib.sha256(content).hexdigest()}
        monkeypatch.setattr("matminer.datasets.get_dataset_attribute", lambda name, key: said[key])
        return "matminer:castelli_perovskites"

    return make


def test_a_matminer_data_set_comes_with_its_numbers(data_set):
    source = data_set(["e_form", "formula", "structure"], [[0.5, "NaCl", SALT.as_dict()], [1.5, "X", {"sites": []}]])
    found = list(read_rows(Path(source), "cif"))
    assert [name for name, _, _ in found] == ["castelli_perovskites-0", "castelli_perovskites-1"]
    assert found[0][2]["e_form"] == 0.5
    assert Structure.from_dict(found[0][1]).matches(SALT)


def test_a_data_set_without_crystals_is_said_so(data_set):
    source = data_set(["gap expt", "formula"], [[1.0, "NaCl"]])
    with pytest.raises(UserError, match="holds no crystals, only gap expt, formula"):
        fetched(source)


def test_a_file_that_is_not_the_published_one_is_refused(data_set, tmp_path):
    source = data_set(["structure"], [[SALT.as_dict()]], sha="0" * 64)
    with pytest.raises(UserError, match="what came is not the published file"):
        fetched(source)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("matminer:matbench_mp_gapp", "matminer: unknown 'matbench_mp_gapp'.* Did you mean 'matbench_mp_gap'"),
        ("optimade:nowhere?nelements=2", "optimade: unknown 'nowhere'; choose one of"),
        ("optimade:mp", "has no filter"),
        (f"optimade:{NOBODY}?nelements=2", "cannot be reached .* or bring the crystals as a file"),
        ("mp:Li-Xx", "'Xx' is no element"),
        ("mp:Li-O", "no key for the Materials Project"),
    ],
)
def test_what_cannot_be_had_is_one_line_with_another_way(serve, monkeypatch, source, said):
    for name in ("MP_API_KEY", "PMG_MAPI_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=said) as error:
        fetched(source)
    assert "\n" not in str(error.value)


def test_matminer_without_a_network_is_one_line(serve, monkeypatch):
    monkeypatch.setattr("matminer.datasets.get_dataset_attribute", lambda name, key: f"{NOBODY}/file")
    with pytest.raises(UserError, match=r"matbench_mp_gap: cannot be reached .* Try again with a network"):
        fetched("matminer:matbench_mp_gap")


def test_a_server_that_says_something_else_is_one_line(serve):
    address = serve(lambda path: b"<html>")
    with pytest.raises(UserError, match="answered something else than OPTIMADE"):
        fetched(f"optimade:{address}?nelements=2")


def test_a_file_that_is_there_is_no_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mp:Li.csv").write_text("cif\n")
    assert not is_remote("mp:Li.csv")
    assert not is_remote("crystals.csv")
    assert remote_sources.SOURCES.count(":") == 3
