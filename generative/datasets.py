"""Tables of crystals as arrays of codes, with every unusable row listed and its reason kept."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure
from rich.progress import track

from campaigns.errors import UserError
from campaigns.records import FailureCode
from generative.canonical import WyckoffCode
from generative.protocols import EncodeFailure
from generative.representations.wyckoff import Params, WyckoffRepresentation
from generative.symmetry import space_group

MAX_ORBITS = 20


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


def read_table(path: Path) -> pd.DataFrame:
    """A CSV with a `cif` column. Raises UserError where it is missing, unreadable or lacks the column."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}).", "Give a CSV with a `cif` column.") from None
    if "cif" not in table.columns:
        raise UserError(f"{path}: no column `cif` among {', '.join(map(str, table.columns))}.", "Add one.")
    return table


def _read_cif(cif: object) -> Structure | EncodeFailure:
    if not isinstance(cif, str) or not cif.strip():
        return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, "no CIF")
    with warnings.catch_warnings():  # pymatgen says that it rounds coordinates like 0.3333
        warnings.filterwarnings("ignore", message="Issues encountered while parsing CIF")
        try:
            return Structure.from_str(cif, fmt="cif")
        except Exception as error:  # pymatgen's parser lets any kind through on malformed text
            reason = " ".join(str(error).split())[:200]
            return EncodeFailure(FailureCode.ENCODE_UNSUPPORTED, f"CIF cannot be read: {reason}")


def _encode_chunk(task: tuple[list[object], float]) -> list[WyckoffCode | EncodeFailure]:
    cifs, symprec = task
    read = [_read_cif(cif) for cif in cifs]
    representation = WyckoffRepresentation(Params(symprec_ang=symprec))
    codes = iter(representation.featurize([x for x in read if isinstance(x, Structure)]))
    return [next(codes) if isinstance(x, Structure) else x for x in read]


def featurize_table(
    table: pd.DataFrame, *, symprec_ang: float, workers: int = 2, chunk: int = 64
) -> Iterator[WyckoffCode | EncodeFailure]:
    """Codes of the table's `cif` column, in order, computed in `workers` processes, with progress and time left."""
    cifs = table["cif"].tolist()
    tasks = [(cifs[i : i + chunk], symprec_ang) for i in range(0, len(cifs), chunk)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for part in track(pool.map(_encode_chunk, tasks), total=len(tasks), description="encoding crystals"):
            yield from part


def split_refused(answers: Iterable[WyckoffCode | EncodeFailure]) -> tuple[Codes, pd.DataFrame]:
    """Usable codes, and (`row`, `code`, `reason`) of every answer that is a failure or has too many orbits."""
    kept, rows, refused = [], [], []
    for row, answer in enumerate(answers):
        if isinstance(answer, EncodeFailure):
            refused.append((row, answer.code.value, answer.message))
        elif len(answer.positions) > MAX_ORBITS:
            reason = f"{len(answer.positions)} orbits exceed {MAX_ORBITS}"
            refused.append((row, FailureCode.ENCODE_UNSUPPORTED.value, reason))
        else:
            kept.append(answer)
            rows.append(row)
    return stack(kept, rows), pd.DataFrame(refused, columns=["row", "code", "reason"])


def codes_of_table(
    path: Path, *, symprec_ang: float, cache: Path | None = None, workers: int = 2
) -> tuple[pd.DataFrame, Codes, pd.DataFrame]:
    """The table, the codes of its usable rows, and a report of the unusable ones (`row`, `code`, `reason`).

    `cache` names an .npz file of codes, with the report beside it as .refused.csv; both are written where
    one is absent.
    """
    table = read_table(path)
    report = cache.with_suffix(".refused.csv") if cache is not None else None
    if cache is not None and report is not None and cache.exists() and report.exists():
        return table, Codes.load(cache), pd.read_csv(report)
    codes, refused = split_refused(featurize_table(table, symprec_ang=symprec_ang, workers=workers))
    if cache is not None and report is not None:
        codes.save(cache)
        refused.to_csv(report, index=False)
    return table, codes, refused
