"""Space groups as arrays: operations, Wyckoff positions, and how the normaliser permutes them.

Everything is in the standard setting of International Tables A. A Wyckoff position is the affine template
`x = linear @ u + shift` of its first representative; `u [3]` holds the free coordinates in the slots x, y, z that occur
in the template, and zeros elsewhere.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SITE_TOLERANCE = 1e-3  # fractional; sites are refined before they are identified, so this only absorbs rounding
PRIMITIVE = {  # rows: primitive vectors in the conventional basis, by the centring translations (in halves and thirds)
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 0.5, -0.5], [0, 0.5, 0.5]]),
    "C": np.array([[0.5, -0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2 / 3, 1 / 3, 1 / 3], [-1 / 3, 1 / 3, 1 / 3], [-1 / 3, -2 / 3, 1 / 3]]),
}


@cache
def _data() -> dict[str, Any]:
    return json.loads(gzip.decompress(files("generative").joinpath("data/symmetry.json.gz").read_bytes()))


@cache
def _coset_table() -> dict[str, NDArray[np.int64]]:
    """Rows (coset, position) of every group one after another; rows `start[n]` to `start[n + 1]` are group n."""
    with np.load(BytesIO(files("generative").joinpath("data/normaliser.npz").read_bytes())) as stored:
        return dict(stored)


@cache
def mendeleev_rank() -> NDArray[np.int64]:
    """`rank[Z]`: Pettifor's chemical order (Solid State Commun. 51, 31, 1984) as pymatgen tabulates it; `[104]`."""
    order = np.array([0, *_data()["mendeleev"]])
    return np.argsort(np.argsort(order, kind="stable"), kind="stable")


@dataclass(frozen=True)
class Position:
    """One Wyckoff position. `rows[v]` and `signs[v]` read free slot v back: `u_v = signs[v] * (x - shift)[rows[v]]`."""

    letter: str
    multiplicity: int
    linear: Array  # [3, 3]
    shift: Array  # [3]
    free: tuple[int, ...]
    rows: tuple[int, ...]
    signs: tuple[int, ...]

    def solve(self, linear: Array, shift: Array) -> tuple[Array, Array]:
        """Affine maps into this template: `x = linear @ v + shift` -> `u = A @ v + a`. Batched over the first axes."""
        a_linear, a_shift = np.zeros_like(linear), np.zeros_like(shift)
        for slot, row, sign in zip(self.free, self.rows, self.signs, strict=True):
            a_linear[..., slot, :] = sign * linear[..., row, :]
            a_shift[..., slot] = sign * (shift[..., row] - self.shift[row])
        return a_linear, a_shift


def _position(letter: str, entry: dict[str, Any], unit: int) -> Position:
    linear = np.array(entry["linear"], dtype=float)
    free = tuple(int(v) for v in range(3) if linear[:, v].any())
    rows, signs = [], []
    for slot in free:
        row = next(r for r in range(3) if abs(linear[r, slot]) == 1 and np.count_nonzero(linear[r]) == 1)
        rows.append(row)
        signs.append(int(linear[row, slot]))
    shift = np.array(entry["shift"]) / unit
    return Position(letter, entry["multiplicity"], linear, shift, free, tuple(rows), tuple(signs))


def wrapped(x: Array) -> Array:
    """Distance to the nearest integer, signed."""
    return x - np.rint(x)


@dataclass(frozen=True)
class SpaceGroup:
    """One space group with its positions; derived tables are built on first use and kept."""

    number: int
    symbol: str
    system: str
    rotations: Array  # [n_ops, 3, 3], conventional cell, centring included
    shifts: Array  # [n_ops, 3]
    polar: tuple[int, ...]
    positions: tuple[Position, ...]
    cosets: tuple[tuple[Array, Array], ...]  # (P, p) of the normaliser modulo the group, identity first

    @cached_property
    def centring(self) -> Array:
        """Centring translations, `[n, 3]`."""
        pure = (self.rotations == np.eye(3)).all(axis=(1, 2))
        return self.shifts[pure] % 1.0

    @cached_property
    def primitive(self) -> Array:
        """Rows: primitive vectors in the conventional basis, `[3, 3]`."""
        return PRIMITIVE[self.symbol[0]]

    @cached_property
    def multiplicities(self) -> NDArray[np.int64]:
        """Atoms per primitive cell of each position, `[n_positions]`."""
        return np.array([p.multiplicity // len(self.centring) for p in self.positions])

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """Free coordinates of each position, `[n_positions]`."""
        return np.array([len(p.free) for p in self.positions])

    @cached_property
    def orbits(self) -> tuple[tuple[Array, Array], ...]:
        """Per position the affine maps of the atoms in one primitive cell, conventional axes: `[m, 3, 3]`, `[m, 3]`."""
        to_primitive = np.linalg.inv(self.primitive)
        found = []
        for position in self.positions:
            linear = self.rotations @ position.linear
            shift = self.rotations @ position.shift + self.shifts
            local_linear = np.rint(np.swapaxes(linear, 1, 2) @ to_primitive * 24).astype(int)
            local_shift = np.rint(shift @ to_primitive * 24).astype(int) % 24
            keys = np.concatenate([local_linear.reshape(len(linear), 9), local_shift], axis=1)
            first = np.sort(np.unique(keys, axis=0, return_index=True)[1])
            found.append((linear[first], shift[first]))
        return tuple(found)

    def maps_into(self, linear: Array, shift: Array, target: Position) -> tuple[Array, Array]:
        """All u-space maps by which the group carries `x = linear @ v + shift` into the target's template."""
        all_linear = self.rotations @ linear
        all_shift = self.rotations @ shift + self.shifts
        a_linear, a_shift = target.solve(all_linear, all_shift)
        same_linear = np.abs(target.linear @ a_linear - all_linear).max(axis=(1, 2)) < 1e-9
        gap = wrapped(a_shift @ target.linear.T + target.shift - all_shift)
        fits = same_linear & (np.abs(gap).max(axis=1) < 1e-9)
        keys = np.concatenate([a_linear[fits].reshape(-1, 9), a_shift[fits] % 1.0 % (1 - 1e-9)], axis=1)
        first = np.unique(np.round(keys, 6), axis=0, return_index=True)[1]
        return a_linear[fits][first], a_shift[fits][first]

    @cached_property
    def stabilisers(self) -> tuple[tuple[Array, Array], ...]:
        """Per position the maps u -> u' that give the same orbit: `[s, 3, 3]`, `[s, 3]`."""
        return tuple(self.maps_into(p.linear, p.shift, p) for p in self.positions)

    @cached_property
    def coset_images(self) -> tuple[NDArray[np.int64], Array, Array]:
        """How coset i moves position j: target `[i, j]`, and the map u -> u' as `[i, j, 3, 3]`, `[i, j, 3]`.

        Read from `data/normaliser.npz`; `generative.symmetry_build.coset_images` computes it.
        """
        shape, table = (len(self.cosets), len(self.positions)), _coset_table()
        mine = slice(table["start"][self.number], table["start"][self.number + 1])
        return (
            table["target"][mine].astype(np.int64).reshape(shape),
            table["linear"][mine].astype(float).reshape(*shape, 3, 3),
            table["shift"][mine].reshape(*shape, 3) / _data()["unit"],
        )

    @cached_property
    def _site_tests(self) -> tuple[NDArray[np.int64], Array, Array, Array]:
        """Positions by rising freedom; for each the matrix that reads u back, the one that x minus the shift must
        solve, and the shift: `[p]`, `[p, 3, 3]`, `[p, 3, 3]`, `[p, 3]`."""
        order = np.argsort(self.degrees, kind="stable")
        chosen = [self.positions[i] for i in order]
        reading = np.array([p.solve(np.eye(3), np.zeros(3))[0] for p in chosen])
        linear = np.array([p.linear for p in chosen])
        return order, reading, linear @ reading - np.eye(3), np.array([p.shift for p in chosen])

    def identify(self, x: Array) -> tuple[int, Array] | None:
        """Position index and free coordinates `[3]` of the orbit through `x [3]`; None where nothing fits."""
        order, reading, residual, shifts = self._site_tests
        offsets = (self.rotations @ x + self.shifts) % 1.0 - shifts[:, None]  # [p, n_ops, 3]
        gaps = np.abs(wrapped(offsets @ np.swapaxes(residual, 1, 2))).max(axis=2)
        fits = gaps.min(axis=1) < SITE_TOLERANCE
        if not fits.any():
            return None
        first = int(fits.argmax())
        return int(order[first]), reading[first] @ offsets[first, int(gaps[first].argmin())] % 1.0


@cache
def space_group(number: int) -> SpaceGroup:
    """The space group of this International Tables number (1 to 230)."""
    data = _data()
    unit, entry = data["unit"], data["groups"][number - 1]
    return SpaceGroup(
        number=number,
        symbol=entry["symbol"],
        system=entry["system"],
        rotations=np.array(entry["rotations"], dtype=float),
        shifts=np.array(entry["shifts"]) / unit,
        polar=tuple(entry["polar"]),
        positions=tuple(
            _position(letter, p, unit) for letter, p in zip(entry["letters"], entry["positions"], strict=True)
        ),
        cosets=tuple((np.array(p, dtype=float), np.array(s) / unit) for p, s in entry["normaliser"]),
    )
