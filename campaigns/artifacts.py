"""Files by content: `artifacts/<sha256>`. A file is complete before it has its name."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from campaigns.errors import LedgerError

SHA256 = re.compile(r"[0-9a-f]{64}")


def write_durably(path: Path, data: bytes) -> None:
    """Replace `path` with `data`: temporary file in the same folder, fsync, rename, fsync of the folder."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut, where the system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Artifacts:
    """The content-addressed files of one campaign."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes | Path) -> str:
        """Store bytes, or the content of a file; returns its SHA-256 in hex. Again changes nothing."""
        content = data.read_bytes() if isinstance(data, Path) else data
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / digest
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_durably(path, content)
        return digest

    def sweep(self) -> None:
        """Remove what killed processes left half written. Only for who holds the campaign's lock."""
        for left_over in self.folder.glob(".*.partial"):
            left_over.unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        """Where it lies. Raises LedgerError where it is missing, or is no SHA-256: a ledger may be anybody's."""
        if not SHA256.fullmatch(digest):
            raise LedgerError(f"{self.folder}: {digest!r} names no artifact.", "Restore the run folder from a copy.")
        path = self.folder / digest
        if not path.is_file():
            raise LedgerError(f"{path}: the artifact is missing.", "Restore the run folder from a copy.")
        return path

    def get(self, digest: str) -> bytes:
        """The stored bytes. Raises LedgerError where they are missing or no longer have this SHA-256."""
        path = self.path(digest)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise LedgerError(f"{path}: its content has changed.", "Restore the run folder from a copy.")
        return content
