"""Files by content."""

from __future__ import annotations

import hashlib

import pytest

from campaigns.artifacts import Artifacts, write_durably
from campaigns.errors import LedgerError


def test_bytes_and_files_come_back_under_their_hash(tmp_path):
    artifacts = Artifacts(tmp_path / "artifacts")
    digest = artifacts.put(b"weights")
    assert digest == hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "file").write_bytes(b"weights")
    assert artifacts.put(tmp_path / "file") == digest
    assert artifacts.get(digest) == b"weights"
    assert [path.name for path in artifacts.folder.iterdir()] == [digest]


def test_a_missing_or_changed_artifact_is_named(tmp_path):
    artifacts = Artifacts(tmp_path)
    digest = artifacts.put(b"weights")
    artifacts.path(digest).write_bytes(b"other")
    with pytest.raises(LedgerError, match=f"{digest}: its content has changed"):
        artifacts.get(digest)
    with pytest.raises(LedgerError, match="missing"):
        artifacts.get("0" * 64)


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_durably(path, b"old")

    def power_cut(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("campaigns.artifacts.os.replace", power_cut)
    with pytest.raises(OSError):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
