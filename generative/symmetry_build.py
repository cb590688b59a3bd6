"""Build `generative/data/symmetry.json.gz` and `normaliser.npz` from pyxtal's Wyckoff positions: run once, commit them.

    python -m generative.symmetry_build

All settings are the standard ones of International Tables A (unique axis b, cell choice 1, hexagonal axes, origin
choice 2). Rotations are integers; translations are integers in units of 1/24, so every step here is exact.

The normaliser is found by search, not copied: for every admissible linear part P of the lattice system, every origin
shift p on the 1/24 grid with (P, p) G (P, p)^-1 = G. Continuous shifts of polar groups lie along coordinate axes in
these settings and are recorded as `polar` instead. Cosets are taken modulo G. See International Tables A (2016),
chapter 3.5; for orthorhombic and monoclinic groups this is the affine normaliser, whose axis changes are legitimate
re-descriptions of one crystal because the lattice is transformed along.
"""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np

from generative.symmetry import SpaceGroup, space_group

UNIT = 24
OUTPUT = Path(__file__).parent / "data"
Affine = tuple[np.ndarray, np.ndarray]


def lattice_system(number: int) -> str:
    """Name of the family that fixes which lattice parameters are free (hexagonal covers trigonal)."""
    for last, name in [(2, "triclinic"), (15, "monoclinic"), (74, "orthorhombic"), (142, "tetragonal")]:
        if number <= last:
            return name
    return "hexagonal" if number <= 194 else "cubic"


def linear_parts(system: str) -> list[np.ndarray]:
    """Integer matrices that can re-describe a lattice of this system within its own conventional cell."""
    if system == "triclinic":
        return [np.eye(3, dtype=int)]  # P1 and P-1 are reduced by the lattice, see generative.canonical
    if system == "monoclinic":
        parts = []
        for a, b, c, d in itertools.product(range(-2, 3), repeat=4):
            if abs(a * d - b * c) == 1:
                parts += [np.array([[a, 0, b], [0, s, 0], [c, 0, d]]) for s in (1, -1)]
        return parts
    if system == "hexagonal":
        six = np.array([[1, -1, 0], [1, 0, 0], [0, 0, 1]])
        swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
        flip = np.diag([1, 1, -1])
        powers = [np.linalg.matrix_power(six, k) for k in range(6)]
        return [p @ s @ f for p in powers for s in (np.eye(3, dtype=int), swap) for f in (np.eye(3, dtype=int), flip)]
    signed = [
        np.eye(3, dtype=int)[list(order)] * np.array(signs)[:, None]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]
    if system == "tetragonal":
        return [p for p in signed if abs(p[2, 2]) == 1]
    return signed


def polar_axes(rotations: np.ndarray) -> list[int]:
    """Axes along which every rotation leaves a shift unchanged: the origin is free there."""
    axes = [k for k in range(3) if all((r[:, k] == np.eye(3, dtype=int)[:, k]).all() for r in rotations)]
    rank = 3 - np.linalg.matrix_rank(np.vstack([r - np.eye(3) for r in rotations]))
    assert rank == len(axes), "a polar direction off the axes"
    return axes


def normaliser(rotations: np.ndarray, shifts: np.ndarray, system: str) -> list[tuple[list, list]]:
    """Coset representatives (P, p) of the normaliser modulo G, identity first; p in units of 1/24."""
    table: dict[bytes, set[tuple[int, ...]]] = {}
    for r, t in zip(rotations, shifts, strict=True):
        table.setdefault(r.astype(np.int8).tobytes(), set()).add(tuple(int(v) for v in t % UNIT))
    polar = polar_axes(rotations)
    axes = [np.array([0]) if k in polar else np.arange(UNIT) for k in range(3)]
    grid = np.array(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).T
    unique = {r.astype(np.int8).tobytes(): i for i, r in enumerate(rotations)}
    centring = table[np.eye(3, dtype=np.int8).tobytes()]
    seen: set[tuple] = set()
    cosets = []
    for linear in sorted(linear_parts(system), key=lambda m: (not (m == np.eye(3)).all(),)):
        if any(tuple(int(v) for v in linear @ np.array(c) % UNIT) not in centring for c in centring):
            continue
        inverse = np.rint(np.linalg.inv(linear)).astype(int)
        keep = np.ones(len(grid), dtype=bool)
        for i in unique.values():
            image = linear @ rotations[i] @ inverse
            targets = table.get(image.astype(np.int8).tobytes())
            if targets is None:
                keep[:] = False
                break
            moved = (linear @ shifts[i] + grid @ (np.eye(3, dtype=int) - image).T) % UNIT
            codes = moved @ np.array([UNIT * UNIT, UNIT, 1])
            allowed = [t[0] * UNIT * UNIT + t[1] * UNIT + t[2] for t in targets]
            keep &= np.isin(codes, allowed)
        for shift in grid[keep]:
            if (linear.tobytes(), tuple(shift)) in seen:
                continue
            cosets.append((linear.tolist(), shift.tolist()))
            for r, t in zip(rotations, shifts, strict=True):
                composed = (r @ shift + t) % UNIT
                composed[polar] = 0
                seen.add(((r @ linear).tobytes(), tuple(composed)))
    return cosets


def group_entry(number: int) -> dict:
    """One space group: operations, positions a, b, c ... with a representative each, normaliser cosets."""
    from pyxtal.symmetry import Group

    group = Group(number)
    positions = sorted(group.Wyckoff_positions, key=lambda p: (len(p.letter), p.letter.swapcase()))
    general = max(positions, key=lambda p: p.multiplicity)
    rotations = np.array([np.rint(op.rotation_matrix).astype(int) for op in general.ops])
    shifts = np.array([np.rint(op.translation_vector * UNIT).astype(int) for op in general.ops])
    system = lattice_system(number)
    return {
        "number": number,
        "symbol": group.symbol,
        "system": system,
        "rotations": rotations.tolist(),
        "shifts": (shifts % UNIT).tolist(),
        "polar": polar_axes(rotations),
        "letters": "".join(p.letter for p in positions),
        "positions": [
            {
                "multiplicity": int(p.multiplicity),
                "linear": np.rint(p.ops[0].rotation_matrix).astype(int).tolist(),
                "shift": np.rint(p.ops[0].translation_vector * UNIT).astype(int).tolist(),
            }
            for p in positions
        ],
        "normaliser": normaliser(rotations, shifts, system),
    }


def coset_images(group: SpaceGroup) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How coset i moves position j: target `[i, j]`, and the map u -> u' as `[i, j, 3, 3]`, `[i, j, 3]`.

    The first position of equal multiplicity that the moved template fits is the target; among the maps into it, which
    the group makes equivalent, the first in sorted order is kept.
    """
    n, m = len(group.cosets), len(group.positions)
    target, linear, shift = np.zeros((n, m), int), np.zeros((n, m, 3, 3)), np.zeros((n, m, 3))
    for i, (p_linear, p_shift) in enumerate(group.cosets):
        for j, position in enumerate(group.positions):
            moved = p_linear @ position.linear, p_linear @ position.shift + p_shift
            for k, other in enumerate(group.positions):
                if other.multiplicity != position.multiplicity or len(other.free) != len(position.free):
                    continue
                maps = group.maps_into(*moved, other)
                if len(maps[0]):
                    target[i, j], linear[i, j], shift[i, j] = k, maps[0][0], maps[1][0]
                    break
            else:
                raise AssertionError(f"space group {group.number}: coset {i} loses position {position.letter}")
    return target, linear, shift


def write_coset_images() -> None:
    """Coset images of every group as small integers, rows (coset, position), shifts in units of 1/24."""
    tables = [coset_images(space_group(number)) for number in range(1, 231)]
    ends = np.cumsum([target.size for target, _, _ in tables])
    np.savez_compressed(
        OUTPUT / "normaliser.npz",
        start=np.concatenate([[0, 0], ends]),
        target=np.concatenate([target.ravel() for target, _, _ in tables]).astype(np.uint8),
        linear=np.rint(np.concatenate([linear.reshape(-1, 9) for _, linear, _ in tables])).astype(np.int8),
        shift=np.rint(np.concatenate([shift.reshape(-1, 3) for _, _, shift in tables]) * UNIT).astype(np.int8),
    )


def main() -> None:
    from pymatgen.core import Element

    from campaigns.elements import SYMBOLS

    data = {
        "unit": UNIT,
        "mendeleev": [int(Element(s).mendeleev_no) for s in SYMBOLS],
        "groups": [group_entry(n) for n in range(1, 231)],
    }
    OUTPUT.mkdir(exist_ok=True)
    with gzip.GzipFile(OUTPUT / "symmetry.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(data, separators=(",", ":")).encode())
    write_coset_images()


if __name__ == "__main__":
    main()
