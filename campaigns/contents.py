"""What a user's file holds, gunzipped where it is gzipped."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

LARGEST_BYTES = 2_000_000_000
PART_BYTES = 1 << 20
GZIP = b"\x1f\x8b"


def read_content(path: Path) -> bytes:
    """At most LARGEST_BYTES, before and after: a few kilobytes of gzip can stand for the whole of a memory.

    Raises ValueError where the content is larger or the gzip is broken, OSError where the file cannot be read or is
    none (a pipe would be waited for).
    """
    if path.exists() and not path.is_file():
        raise ValueError("is no file")
    if path.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"is larger than {LARGEST_BYTES:,} bytes")
    content = path.read_bytes()
    return gunzipped(content) if content[:2] == GZIP or path.suffix == ".gz" else content


def gunzipped(content: bytes) -> bytes:
    """Raises ValueError as `read_content` does."""
    found = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            # in parts: asked for all at once it would reserve the limit before it reads a byte
            while len(found) <= LARGEST_BYTES and (part := stream.read(PART_BYTES)):
                found += part
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"is no whole gzip file: {error}") from None
    if len(found) > LARGEST_BYTES:
        raise ValueError(f"is larger than {LARGEST_BYTES:,} bytes once it is unpacked")
    return bytes(found)
