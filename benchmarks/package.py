"""The built wheel in a clean environment outside the checkout: doctor, check and a small campaign.

    python -m benchmarks.package            # dependencies are those of this interpreter's environment
    python -m benchmarks.package --full     # pip installs them: minutes, and a network or PIP_FIND_LINKS
    python -m benchmarks.package --quickstart     # the bundled example instead of a campaign of three calls: minutes

The sources are copied before anything is built, so the checkout stays as it is. Exit code 1 where a step fails, or
where `optimize doctor` finds a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("campaigns", "generative", "surrogates", "optimizer", "pyproject.toml", "README.md", "LICENSE")
CAMPAIGN = {
    "name": "tiny",
    "oracles": [{"kind": "relax", "calculator": "ase.calculators.emt:EMT"}, "density"],
    "space": {"elements": {"include": ["Cu", "Au", "Ni", "Al"]}, "n_elements": 2, "n_atoms": [2, 4]},
    "start": [{"kind": "generator_samples", "n": 2}],
    "objectives": {"density_g_cm3": "minimize"},
    "batch_size": 1,
    "pool_size": 16,
    "budget": {"oracle_calls": 3},
    "workers": 1,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.package", description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--quickstart", action="store_true")
    given = parser.parse_args()
    print("command: python -m benchmarks.package", *sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="latentore-package-") as folder:
        return try_it(Path(folder), full=given.full, quickstart=given.quickstart)


def try_it(folder: Path, *, full: bool, quickstart: bool) -> int:
    """Build, install, use; 0 where every step went well."""
    source, place = folder / "source", folder / "elsewhere"
    source.mkdir()
    place.mkdir()
    for name in (*SOURCES, "DATA-LICENSES.md", "constraints.txt"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    isolation = [] if full else ["--no-build-isolation"]
    step("wheel", [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *isolation, "-w", folder, source], place)
    (wheel,) = folder.glob("latentore-*.whl")
    print(f"  {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB")
    bin_folder = environment(folder / "venv", full=full)
    deps = ["--constraint", source / "constraints.txt"] if full else ["--no-deps"]
    step("install", [bin_folder / "python", "-m", "pip", "install", "-q", *deps, wheel], place)
    shutil.rmtree(source)
    (place / "tiny.yaml").write_text(json.dumps(CAMPAIGN))
    where = [bin_folder / "python", "-c", "import optimizer; print(optimizer.__path__[0])"]
    assert str(folder) in step("import", where, place)
    step("doctor", [bin_folder / "optimize", "doctor"], place)
    step("check", [bin_folder / "optimize", "check", "quickstart"], place)
    campaign, name = ("quickstart", "quickstart") if quickstart else ("tiny.yaml", "tiny")
    step("run", [bin_folder / "optimize", "run", campaign, "-q"], place)
    step("report", [bin_folder / "optimize", "report", name], place)
    listed = json.loads(step("export", [bin_folder / "optimize", "export", name, "--json"], place))
    print(f"  {len(listed['candidates'])} candidates listed")
    return 0


def environment(folder: Path, *, full: bool) -> Path:
    """A new one with pip; unless `full` it also sees the packages of this interpreter's, but nothing editable."""
    venv.create(folder, with_pip=True)
    bin_folder = folder / ("Scripts" if os.name == "nt" else "bin")
    if not full:
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        own = subprocess.run([bin_folder / "python", "-c", ask], capture_output=True, text=True, check=True)
        # .pth files of a folder that a .pth file names are not read: editable packages stay out
        Path(own.stdout.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bin_folder


def step(name: str, command: Sequence[object], place: Path) -> str:
    """Run it outside the checkout; what it printed. Ends with exit code 1 and its words where it fails."""
    started = time.monotonic()
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([str(each) for each in command], cwd=place, env=clean, capture_output=True, text=True)
    print(f"{name}: exit code {done.returncode}, {time.monotonic() - started:.0f} s", flush=True)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
        raise SystemExit(1)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
