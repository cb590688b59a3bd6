"""What a person reads in place of a name from the ledger: units, properties, flags, failure codes, stages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from campaigns.records import FailureCode

UNITS: Mapping[str, str] = MappingProxyType(
    {  # the unit stands at the end of a property's name; the longest ending that fits counts
        "_mub_formula": "μB/formula unit",
        "_ang3_atom": "Å³/atom",
        "_mub_atom": "μB/atom",
        "_usd_litre": "USD/L",
        "_ev_atom": "eV/atom",
        "_g_cm3": "g/cm³",
        "_usd_kg": "USD/kg",
        "_tesla": "T",
        "_ang": "Å",
        "_gpa": "GPa",
        "_ppm": "ppm",
        "_ev": "eV",
    }
)

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "hull_sparse": "a pair of its elements has no known compound, so its distance to the hull says little",
        "far_below_hull": "0.1 eV/atom or more below all it is compared with: a known phase is missing, maybe this one",
        "formula_known": "a known material has this formula, in another structure or in one that is not to hand",
        "space_group_ambiguous": "two programs find different space groups at the same tolerance",
        "given_value": "its values came with the start; nothing was computed here",
        "given_by_another_oracle": "a value came from a campaign with another oracle or another version of it",
        "predicted": "a value is predicted from data, not computed from physics",
        "in_sample": "the predictor was fitted to this formula",
        "out_of_domain": "the predictor has seen nothing of the kind",
        "potentials_disagree": "the two potentials put it at different distances from the hull",
        "verification_hull_incomplete": "some known phase could not be rebuilt for the second potential's hull",
        "verification_failed": "the second potential could not measure it",
        "fitted_reference": "an element's reference energy comes from a fit, not from a calculation",
        "suspicious_modulus": "stiffer than 500 GPa; diamond has about 440",
        "stressed": "the cell was not fully relaxed when it was strained",
        "elastic_misfit": "the potential is too rippled here for one elastic law",
        "few_neighbours": "an atom has fewer neighbours than CGCNN's networks expect: their prediction is a guess",
        "dynamically_unstable": "pushed aside, its atoms relax to something lower in energy",
    }
)

CODES: Mapping[FailureCode, str] = MappingProxyType(
    {
        FailureCode.ENCODE_NO_SYMMETRY: "no consistent symmetry code",
        FailureCode.ENCODE_UNSUPPORTED: "disordered, too large, or an unknown element",
        FailureCode.DECODE_DEAD_END: "the latent led to no crystal inside the search space",
        FailureCode.DECODE_INVALID: "the latent led to no valid crystal",
        FailureCode.OUTSIDE_SPACE: "outside the search space",
        FailureCode.TOO_CLOSE: "two atoms too close",
        FailureCode.NOT_NEUTRAL: "charges cannot be balanced",
        FailureCode.DUPLICATE: "in the campaign already",
        FailureCode.KNOWN: "a known material",
        FailureCode.COLLAPSED: "collapsed as it relaxed",
        FailureCode.EXPLODED: "flew apart as it relaxed",
        FailureCode.ISOLATED_ATOM: "an atom ended without neighbours",
        FailureCode.UNCONVERGED: "the relaxation ran out of steps",
        FailureCode.TIMED_OUT: "ran out of its seconds",
        FailureCode.CALCULATOR_ERROR: "the calculator failed on it",
        FailureCode.STOPPED_BY_RULE: "kept out by a rule; no failure",
        FailureCode.STAGE_BUDGET_SPENT: "kept out because the oracle's calls were spent; no failure",
        FailureCode.EOS_NO_MINIMUM: "energy against volume has no minimum in the window",
        FailureCode.EOS_BAD_FIT: "energy against volume fits badly",
        FailureCode.ELASTIC_UNSTABLE: "gives way to a small strain, so it has no moduli",
        FailureCode.NO_REFERENCE: "no reference energy for an element",
        FailureCode.NOT_FOUND: "no row in the table",
        FailureCode.INVALID_VALUE: "no finite number came out",
        FailureCode.ORACLE_ERROR: "the oracle failed on it",
        FailureCode.WORKER_DIED: "its process died",
        FailureCode.EXTERNAL_FAILURE: "told from outside that it failed",
    }
)


def unit_of(name: str, stated: Mapping[str, str]) -> str:
    """Readable unit of a property; "" where it has none (1), or neither the file nor the name's ending tells one."""
    if unit := stated.get(name):
        return "" if unit == "1" else unit.replace("angstrom", "Å").replace("^2", "²").replace("^3", "³")
    return next((UNITS[end] for end in UNITS if name.endswith(end)), "")


def title_of(name: str) -> str:
    """The property in words, without its unit: "bulk_modulus_gpa" -> "bulk modulus"."""
    ending = next((end for end in UNITS if name.endswith(end) and name != end.removeprefix("_")), "")
    return name.removesuffix(ending).replace("_", " ")


def either_of(words: Iterable[str]) -> str:
    """What a mark stands for: the words in alphabetical order."""
    return " or ".join(sorted(words))


def number(value: float | None, digits: int = 4, *, trailing: bool = False) -> str:
    """A number as a person writes it, with a true minus sign; a dash where there is none. `trailing` zeros are kept
    where numbers stand below each other."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:#.{digits}g}".rstrip(".") if trailing and value else f"{value:.{digits}g}"
    if "e" in text:
        mantissa, _, power = text.partition("e")
        if -4 <= int(power) < 6:
            text = f"{value:.0f}"
        else:
            text = f"{mantissa}·10^{int(power)}"
    return text.replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds as "42 s", "12 min" or "3.5 h"."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms" if seconds > 0 else "0 s"
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"


def count(n: int, noun: str, plural: str = "") -> str:
    """ "1 candidate", "2 candidates" """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
