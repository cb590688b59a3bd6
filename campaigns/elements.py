"""Element symbols and the groups a campaign file may name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_PERIODIC_TABLE = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb
Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
"""
SYMBOLS: tuple[str, ...] = tuple(_PERIODIC_TABLE.split())
"""Symbols by atomic number, H (1) to Lr (103)."""

ELEMENT_GROUPS: dict[str, tuple[str, ...]] = {
    "radioactive": (
        "Tc",
        "Pm",
        *SYMBOLS[83:],
    ),  # no stable isotope; Bi and lighter are stable for every purpose here
    "noble_gas": ("He", "Ne", "Ar", "Kr", "Xe", "Rn"),
    "toxic": ("Be", "As", "Cd", "Hg", "Tl", "Pb", "Os"),
    "halogen": ("F", "Cl", "Br", "I", "At"),
    "chalcogen": ("O", "S", "Se", "Te", "Po"),
    "alkali_metal": ("Li", "Na", "K", "Rb", "Cs", "Fr"),
    "alkaline_earth": ("Be", "Mg", "Ca", "Sr", "Ba", "Ra"),
    "lanthanide": SYMBOLS[56:71],
    "actinide": SYMBOLS[88:103],
    "transition_metal": (*SYMBOLS[20:30], *SYMBOLS[38:48], *SYMBOLS[71:80]),
}


def expand_elements(names: Iterable[str]) -> tuple[str, ...]:
    """Symbols and group names -> symbols. Raises ValueError naming the value, the choices and the remedy."""
    found: dict[str, None] = {}
    for name in names:
        if name in ELEMENT_GROUPS:
            found.update(dict.fromkeys(ELEMENT_GROUPS[name]))
        elif name in SYMBOLS:
            found[name] = None
        else:
            near = get_close_matches(str(name).capitalize(), SYMBOLS, 1) if len(str(name)) < 3 else []
            near = near or get_close_matches(str(name), ELEMENT_GROUPS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            groups = ", ".join(ELEMENT_GROUPS)
            raise ValueError(f"{name!r} is no element or group; write a symbol like O, or one of {groups}{hint}")
    return tuple(found)
