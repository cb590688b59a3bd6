"""Small crystals of every lattice system, chosen for the ways they can be re-described."""

from __future__ import annotations

from pymatgen.core import Lattice, Structure


def _of(group: str, lattice: Lattice, species: list[str], coords: list[list[float]]) -> Structure:
    return Structure.from_spacegroup(group, lattice, species, coords).get_primitive_structure()


def perovskite(a: str, b: str, x: str = "O", edge: float = 3.9) -> Structure:
    """ABX3, the A cation at the corner of the cubic cell."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(edge), [a, b, x, x, x], sites)


PROTOTYPES: dict[str, Structure] = {
    "rock salt": _of("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "zinc blende": _of("F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "fluorite": _of("Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "perovskite": perovskite("Sr", "Ti"),
    "half Heusler": _of(
        "F-43m", Lattice.cubic(5.9), ["Mg", "Ag", "As"], [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    ),
    "cobaltite": _of("Pa-3", Lattice.cubic(5.41), ["Fe", "S"], [[0, 0, 0], [0.385, 0.385, 0.385]]),
    "chiral FeSi": _of("P2_13", Lattice.cubic(4.49), ["Fe", "Si"], [[0.136, 0.136, 0.136], [0.844, 0.844, 0.844]]),
    "wurtzite, polar": _of(
        "P6_3mc", Lattice.hexagonal(3.82, 6.26), ["Zn", "S"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.3748]]
    ),
    "quartz, chiral": _of(
        "P3_221", Lattice.hexagonal(4.91, 5.43), ["Si", "O"], [[0.47, 0, 2 / 3], [0.413, 0.266, 0.786]]
    ),
    "corundum": _of("R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]),
    "LiNbO3, polar": _of(
        "R3c", Lattice.hexagonal(5.15, 13.86), ["Nb", "Li", "O"], [[0, 0, 0], [0, 0, 0.279], [0.048, 0.343, 0.064]]
    ),
    "rutile": _of("P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
    "PbTiO3, polar": _of(
        "P4mm",
        Lattice.tetragonal(3.90, 4.15),
        ["Pb", "Ti", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.54], [0.5, 0.5, 0.11], [0.5, 0, 0.62]],
    ),
    "marcasite": _of("Pnnm", Lattice.orthorhombic(4.44, 5.42, 3.39), ["Fe", "S"], [[0, 0, 0], [0.2, 0.378, 0]]),
    "tilted perovskite": _of(
        "Pnma",
        Lattice.orthorhombic(5.44, 7.64, 5.38),
        ["Ca", "Ti", "O", "O"],
        [[0.036, 0.25, 0.993], [0, 0, 0.5], [0.484, 0.25, 0.071], [0.289, 0.037, 0.711]],
    ),
    "KTiOPO4 group, polar": _of(
        "Pna2_1", Lattice.orthorhombic(8.1, 5.2, 4.8), ["Fe", "S"], [[0.11, 0.23, 0.02], [0.31, 0.61, 0.37]]
    ),
    "baddeleyite, monoclinic": _of(
        "P2_1/c",
        Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
        ["Zr", "O", "O"],
        [[0.275, 0.040, 0.208], [0.070, 0.332, 0.345], [0.450, 0.757, 0.479]],
    ),
    "C-centred, monoclinic": _of(
        "C2/m", Lattice.monoclinic(12.2, 3.04, 5.8, 103.8), ["Ga", "O"], [[0.09, 0, 0.795], [0.167, 0, 0.109]]
    ),
    "Pc, monoclinic polar": _of(
        "Pc", Lattice.monoclinic(5.1, 5.9, 6.3, 102.0), ["Mg", "S"], [[0.13, 0.21, 0.08], [0.44, 0.67, 0.29]]
    ),
    "P-1, triclinic": _of(
        "P-1", Lattice.from_parameters(4.1, 5.2, 6.3, 82, 75, 68), ["Cu", "O"], [[0.12, 0.33, 0.41], [0.61, 0.78, 0.05]]
    ),
    "P1, triclinic": Structure(
        Lattice.from_parameters(4.2, 5.1, 6.6, 81, 77, 69),
        ["Cu", "O", "S"],
        [[0, 0, 0], [0.43, 0.31, 0.22], [0.71, 0.62, 0.57]],
    ),
}
