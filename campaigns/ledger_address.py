"""Where a ledger that several hosts share lies: `postgresql://USER@HOST:PORT/DATABASE`, without a secret in it.

The address stands in the campaign file, in the ledger, in reports and in messages. Passwords come from where libpq
looks for them: PGPASSWORD, or ~/.pgpass (PGPASSFILE), https://www.postgresql.org/docs/current/libpq-pgpass.html.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

SCHEME = "postgresql"
OPTIONS = ("connect_timeout", "host", "passfile", "port", "service", "sslcert", "sslkey", "sslmode", "sslrootcert")
"""What may stand behind `?`: parameters of libpq that are no secrets and leave the session as the store wants it."""
EXAMPLE = "postgresql://me@db.example.org/materials"


def checked_address(text: str) -> str:
    """`text` itself. Raises ValueError, without repeating a password, where it is no such address."""
    try:
        parts = urlsplit(text)
        secret, _ = parts.password is not None, parts.port
    except ValueError as error:
        raise ValueError(f"is no address ({error}); write one like {EXAMPLE}") from None
    asked = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if secret or "password" in asked:
        raise ValueError("holds a password, which would be kept with the campaign; put it into ~/.pgpass or PGPASSWORD")
    if parts.scheme != SCHEME or "://" not in text:
        raise ValueError(f"does not begin with {SCHEME}://; write it like {EXAMPLE}")
    if not parts.path.strip("/") or "/" in parts.path.strip("/"):
        raise ValueError(f"{text!r} names no database behind the host; write it like {EXAMPLE}")
    if unknown := sorted(set(asked) - set(OPTIONS)):
        raise ValueError(f"{text!r} asks for {', '.join(unknown)}; behind `?` may stand {', '.join(OPTIONS)}")
    if parts.fragment or not text.isprintable():
        raise ValueError(f"{text!r} holds what no address does; write it like {EXAMPLE}")
    return text
