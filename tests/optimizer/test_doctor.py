"""What the doctor finds, and that it finds what is wrong."""

from __future__ import annotations

import sys

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
