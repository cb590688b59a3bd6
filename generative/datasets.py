"""Sets of crystals as arrays of codes, with every unusable row listed and its reason kept."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from campaigns.records import FailureCode
from campaigns.workers import worker_pool
from generative.canonical import WyckoffCode
from generative.crystal_formats import Unread
from generative.loading import CrystalSet, read_crystal
from generative.progress import tracked
from generative.protocols import EncodeFailure
from generative.representations.wyckoff import Params, WyckoffRepresentation
from generative.symmetry import space_group

MAX_ORBITS = 20
CHUNK = 64  # crystals that a worker is handed at a time
REFUSED = ("row", "name", "code", "reason")
Answer = tuple[str, WyckoffCode | EncodeFailure]  # reduced formula, empty where unreadable; code


@cache
def multiplicity_table() -> NDArray[np.int64]:
    """Atoms per primitive cell by space-group number and position index, `[231, 27]`; zero where there is none."""
    table = np.zeros((231, 27), dtype=np.int64)
    for number in range(1, 231):
        sizes = space_group(number).multiplicities
        table[number, : len(sizes)] = sizes
    return table


@dataclass(frozen=True)
class Codes:
    """Codes padded to K orbits: `space_group [n]`, `n_orbits [n]`, `positions`/`elements [n, K]`, `coords [n, K, 3]`,
    `lattice [n, 6]`; `row [n]` is each code's row in its table. Padding is zero."""

    space_group: NDArray[np.int64]
    n_orbits: NDArray[np.int64]
    positions: NDArray[np.int64]
    elements: NDArray[np.int64]
    coords: NDArray[np.float64]
    lattice: NDArray[np.float64]
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.space_group)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Codes:
        return Codes(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def code(self, i: int) -> WyckoffCode:
        k = self.n_orbits[i]
        return WyckoffCode(
            int(self.space_group[i]),
            self.positions[i, :k],
            self.elements[i, :k],
            self.coords[i, :k],
            self.lattice[i],
        )

    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms in each primitive cell, `[n]`."""
        sizes = multiplicity_table()[self.space_group[:, None], self.positions]
        return (sizes * (np.arange(self.positions.shape[1]) < self.n_orbits[:, None])).sum(axis=1)

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> Codes:
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in cls.__dataclass_fields__})


def stack(codes: Sequence[WyckoffCode], rows: Sequence[int] | None = None, width: int = MAX_ORBITS) -> Codes:
    """Pad codes to arrays. Codes of more than `width` orbits must be left out before."""
    n = len(codes)
    packed = Codes(
        np.array([c.space_group for c in codes], dtype=np.int64),
        np.array([len(c.positions) for c in codes], dtype=np.int64),
        np.zeros((n, width), dtype=np.int64),
        np.zeros((n, width), dtype=np.int64),
        np.zeros((n, width, 3)),
        np.array([c.lattice for c in codes], dtype=float).reshape(n, 6),
        np.arange(n) if rows is None else np.array(rows, dtype=np.int64),
    )
    for i, code in enumerate(codes):
        k = len(code.positions)
        packed.positions[i, :k], packed.elements[i, :k], packed.coords[i, :k] = (
            code.positions,
            code.elements,
            code.coords,
        )
    return packed


def merge(a: Codes, b: Codes) -> Codes:
    """Both, one after the other."""
    return Codes(*(np.concatenate([getattr(a, name), getattr(b, name)]) for name in a.__dataclass_fields__))


@dataclass(frozen=True)
class Encoded:
    """A set of N crystals as codes: those of the n usable rows, the reduced formula of every readable row (`formulas
    [N]`, empty elsewhere), and `refused`, a table of the others with the columns `row`, `name`, `code`, `reason`."""

    codes: Codes
    formulas: NDArray[np.str_]
    refused: pd.DataFrame


def encode_set(crystals: CrystalSet, *, symprec_ang: float, cache: Path | None = None, workers: int = 1) -> Encoded:
    """Every crystal of the set encoded in `workers` processes, with progress and time left.

    `cache` names a file that is read where it holds these crystals at this tolerance, and written elsewhere.
    """
    if cache is not None and (found := read_cache(cache, crystals, symprec_ang)) is not None:
        return found
    encoded = _split_refused(crystals, _encode_all(crystals, symprec_ang, workers))
    if cache is not None:
        _write_cache(cache, _key(crystals, symprec_ang), encoded)
    return encoded


def _encode_all(crystals: CrystalSet, symprec_ang: float, workers: int) -> Iterator[Answer]:
    items = crystals.items
    tasks = [(items[i : i + CHUNK], symprec_ang) for i in range(0, len(items), CHUNK)]
    if min(workers, len(tasks)) <= 1:
        parts: Iterable[list[Answer]] = map(_encode_chunk, tasks)
        yield from chain.from_iterable(tracked(parts, "encoding crystals", len(tasks)))
        return
    with worker_pool(workers) as pool:
        parts = pool.map(_encode_chunk, tasks)
        yield from chain.from_iterable(tracked(parts, "encoding crystals", len(tasks)))


def _encode_chunk(task: tuple[Sequence[Unread], float]) -> list[Answer]:
    items, symprec = task
    read = [read_crystal(item) for item in items]
    representation = WyckoffRepresentation(Params(symprec_ang=symprec))
    codes = iter(representation.featurize([x for x in read if isinstance(x, Structure)]))
    return [(x.composition.reduced_formula, next(codes)) if isinstance(x, Structure) else ("", x) for x in read]


def _split_refused(crystals: CrystalSet, answers: Iterable[Answer]) -> Encoded:
    kept, rows, formulas, refused = [], [], [], []
    for row, (formula, answer) in enumerate(answers):
        formulas.append(formula)
        if isinstance(answer, WyckoffCode) and len(answer.positions) > MAX_ORBITS:
            why = f"{len(answer.positions)} orbits exceed {MAX_ORBITS}"
            answer = EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, why)
        if isinstance(answer, EncodeFailure):
            refused.append((row, crystals.names[row], answer.code.value, answer.message))
        else:
            kept.append(answer)
            rows.append(row)
    return Encoded(stack(kept, rows), np.array(formulas, dtype=np.str_), pd.DataFrame(refused, columns=list(REFUSED)))


def _write_cache(path: Path, key: str, encoded: Encoded) -> None:
    arrays = {name: getattr(encoded.codes, name) for name in Codes.__dataclass_fields__}
    arrays |= {f"refused_{name}": encoded.refused[name].to_numpy(dtype=np.str_) for name in REFUSED}
    fresh = path.with_suffix(".tmp.npz")
    np.savez_compressed(fresh, key=key, formulas=encoded.formulas, **arrays)
    os.replace(fresh, path)


def _key(crystals: CrystalSet, symprec_ang: float) -> str:
    return f"{crystals.digest} {symprec_ang} {MAX_ORBITS}"


def read_cache(path: Path, crystals: CrystalSet, symprec_ang: float) -> Encoded | None:
    """These crystals at this tolerance from a file that `encode_set` wrote; None where it holds something else."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file) as stored:
            if str(stored["key"]) != _key(crystals, symprec_ang):
                return None
            refused = pd.DataFrame({name: stored[f"refused_{name}"].astype(object) for name in REFUSED})
            refused["row"] = refused["row"].astype(int)
            codes = Codes(**{name: stored[name] for name in Codes.__dataclass_fields__})
            return Encoded(codes, stored["formulas"], refused)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
