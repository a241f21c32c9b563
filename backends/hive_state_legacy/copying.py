"""Copy a database file as it is at one moment: `python copying.py SOURCE TARGET SECONDS`.

A program of its own, which imports nothing but the standard library. Closing a file takes away all locks that
the process holds on it, those of its other SQLite connections too (that is how POSIX has it): a hive that has
its file open must not read it beside SQLite, but another process may.

Why a copy at all: a reader holds up the writers of a rollback-journal file for as long as it reads, and one
of a WAL file writes to (or makes) `-shm` and `-wal` even if it asks for `mode=ro`. Here the file is locked
for the copy only, and neither it nor its folder changes.

Exits with 0, or prints one line `KIND TEXT`: missing, folder, denied, empty, foreign, damaged, busy,
full, failed.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
import time

MAGIC = b"SQLite format 3\0"
WAL = b"\x02\x02"
"""Bytes 18 and 19 of a file in WAL mode."""

HOT = ("SQLITE_READONLY_ROLLBACK", "SQLITE_READONLY_RECOVERY", "SQLITE_CANTOPEN")
"""What a read-only connection says of a journal that a killed writer left: it may not roll it back."""

SETTLED_NS = 30_000_000
"""Two writes within one tick of the kernel's clock leave one time stamp. A file this old is past that."""

KINDS = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EISDIR: "folder",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
}
SQLITE_KINDS = {
    "SQLITE_BUSY": ("busy", "another program holds its lock"),
    "SQLITE_LOCKED": ("busy", "another program holds its lock"),
    "SQLITE_NOTADB": ("foreign", "it is not a SQLite database"),
    "SQLITE_CORRUPT": ("damaged", "database disk image is malformed"),
}


class Failed(Exception):
    """(kind, text)."""


def copy(source: str, target: str, seconds: float) -> None:
    """Copy the database at `source`, and the WAL or hot journal that belongs to it, to `target`."""
    with open(source, "rb") as file:
        header = file.read(20)
    if not header:
        raise Failed("empty", "it is empty")
    if header[:16] != MAGIC:
        raise Failed("foreign", "it is not a SQLite database")
    if header[18:20] == WAL:
        copy_settled(source, target, "-wal", seconds)
    else:
        copy_locked(source, target, seconds)


def copy_locked(source: str, target: str, seconds: float) -> None:
    """Under SQLite's shared lock: writers wait for it before they touch the file itself."""
    db = sqlite3.connect(f"file:{_quote(source)}?mode=ro", uri=True, isolation_level=None, timeout=seconds)
    try:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname not in HOT or not os.path.exists(source + "-journal"):
            raise
        copy_settled(source, target, "-journal", seconds)
    else:
        shutil.copyfile(source, target)
    finally:
        db.close()


def copy_settled(source: str, target: str, beside: str, seconds: float) -> None:
    """Both files, again and again until nobody wrote to either meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = _stamps(source, beside)
        newest = max(stamp[0] for stamp in before if stamp is not None)
        if 0 <= time.time_ns() - newest < SETTLED_NS:
            time.sleep(SETTLED_NS / 1e9)
            continue
        shutil.copyfile(source, target)
        if before[1] is not None:
            shutil.copyfile(source + beside, target + beside)
        if _stamps(source, beside) == before:
            return
        if os.path.exists(target + beside):
            os.unlink(target + beside)
    raise Failed("busy", "it is written to all the time")


def _stamps(source: str, beside: str) -> list[tuple[int, int, int] | None]:
    """(modified, size, inode) of the file and of the one beside it; None = not there."""
    found: list[tuple[int, int, int] | None] = []
    for path in (source, source + beside):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return found


def _quote(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _verdict(error: Exception) -> tuple[str, str]:
    """(kind, text)."""
    if isinstance(error, Failed):
        return error.args[0], error.args[1]
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", "")
        return SQLITE_KINDS.get("_".join(name.split("_")[:2]), ("failed", f"{error} ({name})"))
    code = getattr(error, "errno", None)
    return KINDS.get(code or 0, "failed"), str(getattr(error, "strerror", None) or error)


def main(source: str, target: str, seconds: str) -> int:
    try:
        copy(source, target, float(seconds))
    except Exception as error:
        kind, text = _verdict(error)
        print(kind, text)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
