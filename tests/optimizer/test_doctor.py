"""What the doctor finds, and that it finds what is wrong."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from optimizer import doctor


def test_this_installation_is_sound(tmp_path):
    checks = doctor.examine(tmp_path)
    assert [check for check in checks if check.verdict == "fault"] == []
    assert {"python", "torch", "potential chgnet", "disk", "package optimizer"} <= {check.name for check in checks}


def test_a_rival_distribution_with_our_package_name_is_a_fault(monkeypatch):
    monkeypatch.setattr(doctor, "packages_distributions", lambda: {"optimizer": ["latentore", "rival"]})
    faults = [check for check in doctor._top_level_names() if check.verdict == "fault"]
    assert [(check.name, check.message) for check in faults] == [("package optimizer", "is also installed by rival")]
    assert "pip uninstall rival" in faults[0].remedy


def test_a_folder_that_hides_our_package_is_a_fault(monkeypatch, tmp_path):
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "campaigns")
    faults = [check for check in doctor._top_level_names() if check.verdict == "fault"]
    assert [check.name for check in faults] == ["package campaigns"]
    assert str(tmp_path) in faults[0].message


def test_a_missing_package_is_a_fault_and_another_version_a_note(monkeypatch):
    def version(name: str) -> str:
        if name == "smact":
            raise doctor.PackageNotFoundError(name)
        return "0.0.1"

    monkeypatch.setattr(doctor, "version", version)
    found = {check.name: check for check in doctor._packages()}
    assert (found["smact"].verdict, found["smact"].remedy) == ("fault", "pip install smact")
    assert found["torch"].verdict == "note"
    assert "0.0.1" in found["torch"].message


def test_a_torch_for_cpus_beside_a_gpu_is_a_fault(monkeypatch, tmp_path):
    import torch

    (tmp_path / "0000:01:00.0").mkdir()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(doctor, "NVIDIA_GPUS", (str(tmp_path / "none"), str(tmp_path)))
    (check,) = doctor._torch()
    assert check.verdict == "fault"
    assert "there is an NVIDIA GPU, but torch" in check.message
    assert "was built for CPUs only" in check.message
    monkeypatch.setattr(doctor, "NVIDIA_GPUS", (str(tmp_path / "none"),))
    assert [each.verdict for each in doctor._torch()] == ["note"]


def test_a_missing_extra_is_a_note_with_its_command(monkeypatch):
    monkeypatch.setattr(doctor, "EXTRAS", {"dask": ("json", "no_such_module"), "other": ("json",)})
    missing, there = doctor._extras()
    assert (missing.verdict, missing.message) == ("note", "without no_such_module")
    assert missing.remedy == "pip install 'latentore[dask]'"
    assert there.verdict == "ok"


def test_a_full_disk_and_a_folder_that_cannot_be_written_are_faults(monkeypatch, tmp_path):
    def refuse(dir: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=5e8))
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    disk, access = doctor._disk(tmp_path)
    assert (disk.verdict, disk.message, disk.remedy) == ("fault", "0.5 GB free", "Make room.")
    assert access.verdict == "fault"
    assert "Read-only file system" in access.message
