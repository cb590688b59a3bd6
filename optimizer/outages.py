"""What a machine ran out of, in one line: a full disk, no more open files, a folder that may not be written,
a database that does not answer."""

from __future__ import annotations

import errno

from campaigns.errors import UserError

KEPT = "Everything measured is kept: run the same command again to go on."
WHAT = {
    errno.ENOSPC: ("the disk is full", "Make room."),
    errno.EDQUOT: ("the disk quota is used up", "Make room."),
    errno.EFBIG: ("a file may not grow any further (ulimit -f, or the file system)", "Raise the limit."),
    errno.EMFILE: ("this process may not open any more files", "Raise `ulimit -n`, or use fewer workers."),
    errno.ENFILE: ("this machine cannot open any more files", "Close other programs."),
    errno.EROFS: ("the file system is read-only", "Use another --runs-dir, or mount it for writing."),
    errno.EACCES: ("permission denied", "Mend the permissions, or use another --runs-dir."),
    errno.EPERM: ("operation not permitted", "Mend the permissions, or use another --runs-dir."),
    errno.EIO: ("the disk cannot be read or written", "Look at the disk."),
    errno.ENOMEM: ("the memory is used up", "Use fewer workers."),
    errno.EAGAIN: ("no more processes or threads can be started", "Raise `ulimit -u`, or use fewer workers."),
}
OF_SQLITE = {  # what sqlite3 says: https://www.sqlite.org/rescode.html
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "attempt to write a readonly database": errno.EACCES,
}
UNOPENED = "unable to open database file"


def outage(error: BaseException) -> UserError | None:
    """What the machine lacks, where that is what the exception, or one that it came from, says; else None."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if found := _of(cause):
            return found
        cause = getattr(cause, "orig", None) or cause.__cause__ or cause.__context__
    return None


def _of(error: BaseException) -> UserError | None:
    if isinstance(error, OSError) and error.errno in WHAT:
        return _said(error.errno, str(error.filename or ""))
    if isinstance(error, MemoryError):
        return _said(errno.ENOMEM, "")
    if type(error).__module__.partition(".")[0] == "psycopg" and isinstance(error, Exception):
        what = str(error).strip() or type(error).__name__
        return UserError(f"the ledger's database cannot be used ({what}).", f"Look at the server. {KEPT}")
    if type(error).__module__ == "sqlite3":
        if str(error) == UNOPENED:  # sqlite3 does not say why
            problem = "the ledger cannot be opened: too many open files, or no permission"
            return UserError(f"{problem}.", f"Look at `ulimit -n` and at the folder. {KEPT}")
        if (number := OF_SQLITE.get(str(error))) is not None:
            return _said(number, "the ledger")
    return None


def _said(number: int, place: str) -> UserError:
    what, remedy = WHAT[number]
    return UserError(f"{f'{place}: ' if place else ''}{what}.", f"{remedy} {KEPT}")
