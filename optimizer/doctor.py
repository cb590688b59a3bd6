"""Whether this installation can run a campaign, and what to do where it cannot."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from importlib.resources import files
from pathlib import Path
from typing import Literal

OUR_DISTRIBUTION = "latentore"
REINSTALL = "in the checkout: pip install --force-reinstall --no-deps ."
OUR_PACKAGES = ("campaigns", "generative", "surrogates", "optimizer")
PYTHONS = ((3, 11), (3, 14))  # first that works, first that does not
LEAST_FREE_GB = 1.0
EXTRAS = {
    "verify": ("sevenn",),
    "dask": ("dask", "distributed", "dask_jobqueue"),
    "postgresql": ("psycopg",),
}  # and what each is imported as
NVIDIA_GPUS = ("/proc/driver/nvidia/gpus",)
SILICON_EV_ATOM = -5.3122
"""Energy of silicon at the lattice constant 5.43 angstrom, by CHGNet 0.3.0."""
Verdict = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Check:
    """One line of the report. A note changes nothing by itself; a fault must be mended."""

    name: str
    verdict: Verdict
    message: str
    remedy: str = ""


def examine(folder: Path) -> list[Check]:
    """Run every check; `folder` is where campaigns would be written. Loads torch and CHGNet."""
    steps: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _packages,
        _extras,
        _top_level_names,
        _own_files,
        _torch,
        _potential,
        lambda: _disk(folder),
    )
    return [check for step in steps for check in step()]


def _python() -> Iterator[Check]:
    first, too_new = PYTHONS
    works = first <= sys.version_info[:2] < too_new
    yield Check(
        "python",
        "ok" if works else "fault",
        f"{platform.python_version()} on {platform.platform()}",
        "" if works else f"Use Python {first[0]}.{first[1]} or newer, below {too_new[0]}.{too_new[1]}.",
    )


def _packages() -> Iterator[Check]:
    """Installed versions against the ones the published figures were measured with."""
    tested = json.loads(files("optimizer").joinpath("data/tested_versions.json").read_text("utf-8"))
    for name, tested_version in tested.items():
        try:
            found = version(name).partition("+")[0]
        except PackageNotFoundError:
            yield Check(name, "fault", "is not installed", f"pip install {name}")
            continue
        if found == tested_version:
            yield Check(name, "ok", found)
        else:
            yield Check(name, "note", f"{found}; figures in the documentation are from {tested_version}")


def _extras() -> Iterator[Check]:
    """What `pip install 'latentore[NAME]'` adds; nobody needs it who does not ask for it."""
    for extra, modules in EXTRAS.items():
        lacking = [name for name in modules if importlib.util.find_spec(name) is None]
        message = f"without {', '.join(lacking)}" if lacking else "installed"
        remedy = f"pip install '{OUR_DISTRIBUTION}[{extra}]'" if lacking else ""
        yield Check(f"extra {extra}", "note" if lacking else "ok", message, remedy)


def _top_level_names() -> Iterator[Check]:
    """Our package names are plain words: another distribution or a folder of the user may carry one too."""
    home = Path(__file__).resolve().parents[1]
    providers = packages_distributions()
    for name in OUR_PACKAGES:
        rivals = sorted({rival for rival in providers.get(name, ()) if rival.lower() != OUR_DISTRIBUTION})
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent != home / name:
            yield Check(
                f"package {name}",
                "fault",
                f"is imported from {origin}, not from {home}",
                "Rename that folder or start from another one.",
            )
        elif rivals:
            names = ", ".join(rivals)
            remedy = f"pip uninstall {' '.join(rivals)}, then {REINSTALL}"
            yield Check(f"package {name}", "fault", f"is also installed by {names}", remedy)
        else:
            yield Check(f"package {name}", "ok", str(origin.parent))


def _own_files() -> Iterator[Check]:
    """The installed files are the ones that were released: their hashes against the installer's record."""
    try:
        recorded = distribution(OUR_DISTRIBUTION).files or []
    except PackageNotFoundError:
        yield Check("own files", "fault", "latentore is not installed", "pip install -e . in the repository")
        return
    ours = [(file, file.hash) for file in recorded if file.parts[0] in OUR_PACKAGES and file.hash]
    changed = []
    for file, recorded_hash in ours:
        path = Path(str(file.locate()))
        digest = hashlib.new(recorded_hash.mode, path.read_bytes()).digest() if path.is_file() else b""
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != recorded_hash.value:
            changed.append(str(file))
    if changed:
        yield Check("own files", "fault", f"changed or missing: {', '.join(changed[:5])}", REINSTALL)
    else:
        yield Check("own files", "ok", f"{len(ours)} as installed" if ours else "run from the repository")


def _torch() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        yield Check("cuda", "ok", f"{names} (CUDA {torch.version.cuda})")
    elif _has_nvidia_driver():
        built = f"was built for CUDA {torch.version.cuda}" if torch.version.cuda else "was built for CPUs only"
        remedy = "Install the build of torch for your driver: https://pytorch.org/get-started/locally."
        yield Check("cuda", "fault", f"there is an NVIDIA GPU, but torch {torch.__version__} {built}", remedy)
    else:
        yield Check("cuda", "note", f"none; {torch.get_num_threads()} CPU threads are used")


def _has_nvidia_driver() -> bool:
    """A driver that runs and has a GPU, whatever torch can do with it."""
    return any(Path(folder).is_dir() and any(Path(folder).iterdir()) for folder in NVIDIA_GPUS)


def _potential() -> Iterator[Check]:
    """CHGNet loads and gives silicon the energy it had where this was written."""
    from ase.build import bulk

    from optimizer.calculators import CalculatorParams, potential

    try:
        atoms = bulk("Si", "diamond", a=5.43)
        atoms.calc = potential(CalculatorParams(), "cpu").calculator
        energy = atoms.get_potential_energy() / len(atoms)
    except Exception as error:  # whatever a broken installation raises is the finding
        message = f"{type(error).__name__}: {error}"
        yield Check("potential chgnet", "fault", message, "pip install --force-reinstall --no-deps chgnet")
        return
    agrees = abs(energy - SILICON_EV_ATOM) < 0.01
    yield Check(
        "potential chgnet",
        "ok" if agrees else "fault",
        f"silicon {energy:.4f} eV/atom, expected {SILICON_EV_ATOM:.4f}",
        "" if agrees else "Install the tested versions of torch and chgnet.",
    )


def _disk(folder: Path) -> Iterator[Check]:
    free_gb = shutil.disk_usage(folder).free / 1e9
    enough = free_gb >= LEAST_FREE_GB
    yield Check("disk", "ok" if enough else "fault", f"{free_gb:.1f} GB free", "" if enough else "Make room.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            yield Check("write access", "ok", str(folder))
    except OSError as error:
        yield Check("write access", "fault", f"{folder}: {error.strerror}", "Choose another --runs-dir.")
