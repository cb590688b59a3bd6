"""What a worker process does with an oracle: it is told the kind and the parameters, and builds its own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from pymatgen.core import Structure

from campaigns.kinds import build_kind
from campaigns.records import Failed, Measured
from campaigns.spec import KindSpec
from optimizer.protocols import OracleContext

Answer = tuple[str, dict[str, float]]


def answer(outcome: Measured | Failed) -> Answer:
    """How it ended, and the values: what is the same whenever it is asked again."""
    return (outcome.code.value, {}) if isinstance(outcome, Failed) else ("measured", dict(outcome.values))


def find_kinds_in(packages: Mapping[str, Sequence[str]]) -> None:
    """Kinds are found where the parent process finds them: package name -> its folders."""
    for name, folders in packages.items():
        importlib.import_module(name).__path__ = list(folders)  # type: ignore[attr-defined]


def version_and_answer(spec: KindSpec, context: OracleContext, crystal: Structure, seed: int) -> tuple[str, Answer]:
    oracle = build_kind("oracle", spec, context, "oracles.0")
    ((_, outcome),) = oracle.evaluate([crystal], seed=seed)
    return oracle.version, answer(outcome)
