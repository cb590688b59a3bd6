"""Crystals from elsewhere, wherever a file of crystals may be named: fetched once, then read from the cache.

    matminer:matbench_mp_gap                          a data set of matminer's, by name, from figshare
    mp:Li-Fe-O                                        the Materials Project, with your key in MP_API_KEY
    optimade:odbx?elements HAS ALL "Li","S"           an OPTIMADE provider, by alias or address, with a filter

What was fetched is a JSON of structures under `sources/` in the user's cache, named by a hash of the source: a campaign
reads the same crystals whenever it goes on, and on a machine without a network once the file was copied there. Delete
it to fetch anew. Nothing fetched is run: structures are read as plain data.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

from pymatgen.core import Structure

from campaigns.artifacts import write_durably
from campaigns.errors import UnknownChoiceError, UserError
from campaigns.user_cache import cache_folder

PATTERN = re.compile(r"(matminer|mp|optimade):(.+)", re.DOTALL)
SOURCES = "matminer:NAME, mp:Li-Fe-O or optimade:PROVIDER?FILTER"
INSTEAD = "Try again with a network, or bring the crystals as a file: CSV with CIFs, CIFs, JSON, ASE database."
TIMEOUT_S = 60.0
PAGE = 100  # structures an OPTIMADE provider is asked for at a time
MOST_PAGES = 1000
FIELDS = "lattice_vectors,cartesian_site_positions,species,species_at_sites"
IDS = ("material_id", "mpid", "jid")
Crystals = list[dict[str, Any]]


def is_remote(path: str | Path) -> bool:
    """Does it name a source and not a file? A file that is there wins."""
    return PATTERN.fullmatch(str(path)) is not None and not Path(path).exists()


def fetched(path: str | Path) -> Path:
    """The file with what the source gave, fetched now where there is none.

    Raises UserError in one line where it cannot be had, naming what to do instead.
    """
    found = PATTERN.fullmatch(str(path))
    assert found is not None
    kind, wanted = found[1], re.sub(r"^(https?):/+", r"\1://", found[2])  # a Path keeps one slash of two
    source = f"{kind}:{wanted}"
    name = re.sub(r"[^\w.-]+", "_", source)[:60]
    place = cache_folder() / "sources" / f"{name}_{hashlib.sha256(source.encode()).hexdigest()[:16]}.json"
    if not place.is_file():
        crystals = READERS[kind](wanted)
        if not crystals:
            raise UserError(f"{source}: gave no crystals.", "Ask for something else.")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_durably(place, json.dumps(crystals).encode())
        except OSError as error:
            raise UserError(f"{place}: cannot be written ({error.strerror}).", "Set LATENTORE_CACHE.") from None
    return place


def _matminer(name: str) -> Crystals:
    """A data set of matminer's with crystals: each row with its numbers. The file's hash must be the published one."""
    from matminer.datasets import get_available_datasets, get_dataset_attribute

    names = get_available_datasets(print_format=None)
    if name not in names:
        raise UnknownChoiceError("matminer", name, names)
    content = _get(str(get_dataset_attribute(name, "url")), f"matminer:{name}")
    if hashlib.sha256(content).hexdigest() != get_dataset_attribute(name, "hash"):
        raise UserError(f"matminer:{name}: what came is not the published file.", INSTEAD)
    table = json.loads(gzip.decompress(content))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    column = next((key for key, value in rows[0].items() if isinstance(value, dict) and "sites" in value), None)
    column = "structure" if "structure" in rows[0] else column
    if column is None:
        held = ", ".join(table["columns"])
        raise UserError(f"matminer:{name}: holds no crystals, only {held}.", "Choose a data set with structures.")
    return [_with_numbers(row, column, f"{name}-{i}") for i, row in enumerate(rows)]


def _with_numbers(row: dict[str, Any], column: str, number: str) -> dict[str, Any]:
    given = [str(row[key]) for key in IDS if row.get(key) is not None]
    numbers = {key: value for key, value in row.items() if isinstance(value, int | float)}
    return {"material_id": given[0] if given else number, "structure": row[column], "data": numbers}


def _materials_project(systems: str) -> Crystals:
    from generative.materials_project import entries

    return entries(systems.split(","))


def _optimade(wanted: str) -> Crystals:
    """Every structure of the filter, page by page."""
    from pymatgen.ext.optimade import OptimadeRester

    provider, _, criterion = wanted.partition("?")
    address = OptimadeRester.aliases.get(provider, provider)
    if not criterion:
        raise UserError(f"optimade:{wanted}: has no filter.", 'Write it like optimade:mp?elements HAS ALL "Li","S".')
    if not address.startswith(("http://", "https://")):
        raise UnknownChoiceError("optimade", provider, sorted(OptimadeRester.aliases), "Or give its address.")
    query = urlencode({"filter": criterion, "response_fields": FIELDS, "page_limit": PAGE})
    url = urljoin(address.rstrip("/") + "/", f"v1/structures?{query}")
    crystals: Crystals = []
    for page in _pages(url, f"optimade:{wanted}"):
        crystals += [{"material_id": str(each["id"]), **_structure(each["attributes"])} for each in page]
    return crystals


def _pages(url: str, source: str) -> Iterator[list[dict[str, Any]]]:
    for _ in range(MOST_PAGES):
        try:
            document = json.loads(_get(url, source))
            page, following = document["data"], (document.get("links") or {}).get("next")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise UserError(f"{source}: answered something else than OPTIMADE ({what}).", INSTEAD) from None
        yield page
        following = following.get("href") if isinstance(following, dict) else following
        if not following:
            return
        url = urljoin(url, str(following))
    raise UserError(f"{source}: answers with more than {MOST_PAGES} pages.", "Narrow the filter.")


def _structure(said: dict[str, Any]) -> dict[str, Any]:
    """A structure's dictionary; one without, to be counted as unreadable, for vacancies and what is no crystal."""
    try:
        amounts = {
            each["name"]: dict(zip(each["chemical_symbols"], each["concentration"], strict=True))
            for each in said["species"]
        }
        species = [amounts[name] for name in said["species_at_sites"]]
        positions = said["cartesian_site_positions"]
        return {
            "structure": Structure(said["lattice_vectors"], species, positions, coords_are_cartesian=True).as_dict()
        }
    except Exception:  # whatever a provider's answer makes pymatgen raise
        return {}


def _get(url: str, source: str) -> bytes:
    """What an address answers. Raises UserError where it cannot be reached."""
    request = urllib.request.Request(url, headers={"User-Agent": "latentore", "Accept": "*/*"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())[:160]
        raise UserError(f"{source}: cannot be reached ({reason}).", INSTEAD) from None


READERS: dict[str, Callable[[str], Crystals]] = {
    "matminer": _matminer,
    "mp": _materials_project,
    "optimade": _optimade,
}
