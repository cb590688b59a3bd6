"""Interatomic potentials: CHGNet and SevenNet by name, any other ASE calculator by import path.

CHGNet 0.3.0 (Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3) comes with
weights in its wheel, trained on MPtrj. It predicts energies on the MP2020-corrected scale: they are never
corrected again. SevenNet-0 (`sevennet_calculator`, extra `verify`) predicts uncorrected ones and is corrected here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any, cast, get_type_hints

from ase.calculators.calculator import Calculator
from pydantic import Field

from campaigns.spec import Strict

CHGNET = "chgnet"
LONGEST_PATH = 1024
UNVERSIONED = "unversioned"
SEVENNET = "sevennet"
SEVENNET_VERSION = "sevennet-0-11Jul2024-mp2020-2"
MP2020_POTENTIALS = ("chgnet-0.3.0", SEVENNET_VERSION)
"""Potentials whose energies are on the Materials Project's corrected scale, so that its elements are their zero."""
NAMED = f"write {CHGNET}, {SEVENNET}, or an import path like ase.calculators.emt:EMT"
CHGNET_WEIGHTS = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
CHGNET_SHA256 = "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1"


class CalculatorParams(Strict):
    """Parameters shared by every oracle that asks a potential."""

    calculator: str = Field(
        CHGNET,
        description="`chgnet`, `sevennet`, or the import path of an ASE calculator, like ase.calculators.emt:EMT.",
    )
    calculator_args: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of a calculator given by import path."
    )


@dataclass(frozen=True)
class Potential:
    """Which calculator, on which device. Cheap to send to a worker; made once per process."""

    name: str
    args_json: str
    device: str
    version: str

    @property
    def repeatable(self) -> bool:
        """Does the version name the code? Where it does not, an answer of before may be one of other code."""
        return UNVERSIONED not in self.version

    @property
    def calculator(self) -> Calculator:
        return _calculator(self)


def potential(params: CalculatorParams, device: str) -> Potential:
    """Resolve a potential without loading its weights.

    Raises ValueError where the name cannot be imported, the arguments are no plain data, the calculator
    refuses them, or CHGNet's weights are not the ones this project was measured with.
    """
    if params.calculator == CHGNET:
        if params.calculator_args:
            raise ValueError("calculator chgnet takes no calculator_args; remove them")
        _verified_chgnet_weights()
        return Potential(CHGNET, "{}", device, "chgnet-0.3.0")
    if params.calculator == SEVENNET:
        if params.calculator_args:
            raise ValueError("calculator sevennet takes no calculator_args; remove them")
        from optimizer.sevennet_calculator import verified_sevennet_weights

        verified_sevennet_weights()
        return Potential(SEVENNET, "{}", device, SEVENNET_VERSION)
    try:
        args_json = json.dumps(params.calculator_args, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"calculator_args must be plain data: {error}") from error
    factory = _import(params.calculator)
    if not _makes_calculators(factory):  # before it is called: subprocess.Popen can be called as well
        raise ValueError(f"calculator {params.calculator!r} is no class of ASE calculators; {NAMED}")
    try:
        factory(**params.calculator_args)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"calculator {params.calculator!r} refuses {params.calculator_args}: {reason}") from error
    package = params.calculator.partition(":")[0].partition(".")[0]
    told = args_json.encode() + b"".join(_files_named(params.calculator_args))
    suffix = f"-{hashlib.sha256(told).hexdigest()[:8]}" if params.calculator_args else ""
    return Potential(params.calculator, args_json, device, f"{params.calculator}-{_package_version(package)}{suffix}")


@lru_cache(maxsize=4)
def _calculator(chosen: Potential) -> Calculator:
    if chosen.name == CHGNET:
        return _chgnet(chosen.device)
    if chosen.name == SEVENNET:
        from optimizer.sevennet_calculator import load_sevennet

        return load_sevennet(chosen.device)
    return cast(Calculator, _import(chosen.name)(**json.loads(chosen.args_json)))


def _import(path: str) -> Any:
    module_name, separator, attribute = path.partition(":")
    if not separator or not module_name or not attribute:
        raise ValueError(f"calculator {path!r} cannot be read; {NAMED}")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"calculator {path!r} cannot be imported ({error}); {NAMED}") from error
    if not callable(factory := getattr(module, attribute, None)):
        raise ValueError(f"calculator {path!r}: module {module_name} has no class {attribute}; {NAMED}")
    return factory


def _files_named(value: Any) -> Iterator[bytes]:
    """The digest of every file that the arguments name: a model trained further under the same name is another one."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _files_named(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _files_named(each)
    elif isinstance(value, str) and value and len(value) < LONGEST_PATH and Path(value).is_file():
        with Path(value).open("rb") as file:
            yield hashlib.file_digest(file, "sha256").digest()


def _makes_calculators(factory: Any) -> bool:
    """A class of ASE calculators, or a function that says in its signature that it returns one."""
    from ase.calculators.abc import GetPropertiesMixin

    try:
        made = factory if inspect.isclass(factory) else get_type_hints(factory).get("return")
    except (TypeError, NameError, AttributeError):
        return False
    return inspect.isclass(made) and issubclass(made, GetPropertiesMixin)


def _package_version(package: str) -> str:
    names: Mapping[str, list[str]] = packages_distributions()
    try:
        return version(names.get(package, [package])[0])
    except PackageNotFoundError:
        return UNVERSIONED


@lru_cache(maxsize=1)
def _verified_chgnet_weights() -> None:
    """The checkpoint is unpickled by chgnet's own loader, so its bytes are checked first."""
    import chgnet

    weights = Path(chgnet.__file__).parent / CHGNET_WEIGHTS
    if not weights.is_file() or hashlib.sha256(weights.read_bytes()).hexdigest() != CHGNET_SHA256:
        raise ValueError(f"{weights} is not the CHGNet 0.3.0 checkpoint; reinstall with `pip install chgnet==0.4.2`")


def _chgnet(device: str) -> Calculator:
    _verified_chgnet_weights()
    with contextlib.redirect_stdout(io.StringIO()):  # chgnet announces its model and device with print
        from chgnet.model import CHGNet

        from optimizer.chgnet_calculator import LeanCHGNetCalculator

        model = CHGNet.load(model_name="0.3.0", use_device=device, verbose=False)
        return LeanCHGNetCalculator(model, device)
