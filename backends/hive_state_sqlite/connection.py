"""Transactions, and what the errors of SQLite mean."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from hive_state_core.errors import (
    AccessDenied,
    ConfigError,
    CorruptData,
    HiveStateError,
    Indeterminate,
    Internal,
    SchemaMismatch,
    StoreFull,
    Unavailable,
)

SCHEMA_VERSION = 2
APPLICATION_ID = 0x68697665
"""`PRAGMA application_id` of our files ("hive"), so that another program's database is told apart."""

OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""


def rollback(db: sqlite3.Connection) -> None:
    """End the transaction, unless SQLite has done so by itself, as it does when the disk is full."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def dropped() -> SchemaMismatch:
    """What is raised by a store whose namespace is gone."""
    return SchemaMismatch(
        "the namespace was dropped while this store was open", found=None, expected=SCHEMA_VERSION
    )


@contextmanager
def immediate(db: sqlite3.Connection) -> Iterator[None]:
    """A write transaction, rolled back if anything is raised."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        rollback(db)
        raise


@contextmanager
def native_errors(path: str, doing: str) -> Iterator[None]:
    """Turn sqlite3's errors into the tree."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path, doing) from error
    except PermissionError as error:
        what = f" ({error.filename})" if error.filename not in (None, path) else ""
        raise AccessDenied(f"cannot {doing} {path}: {error.strerror}{what}") from error
    except OSError as error:
        raise translate_os(error, path, doing) from error


def translate_os(error: OSError, path: str, doing: str) -> HiveStateError:
    """What an error of the file system means."""
    if error.errno == errno.EROFS:
        return AccessDenied(f"cannot {doing} {path}: it is on a read-only file system")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"cannot {doing} {path}: no space left on its disk")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP):
        return ConfigError(f"cannot {doing} {path}: {error.strerror}")
    return Unavailable(f"cannot {doing} {path}: {error.strerror}")


def translate(error: sqlite3.Error, path: str, doing: str) -> HiveStateError:
    """What an error of SQLite means."""
    name = getattr(error, "sqlite_errorname", None) or ""
    family = "_".join(name.split("_")[:2])
    match family:
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            return Unavailable(f"cannot {doing} {path}: another program holds its lock for too long")
        case "SQLITE_FULL":
            return StoreFull(f"cannot {doing} {path}: no space left (on its disk, or within max_page_count)")
        case "SQLITE_READONLY" | "SQLITE_PERM" | "SQLITE_AUTH":
            return AccessDenied(f"cannot {doing} {path}: the file or its folder is read-only for this user")
        case "SQLITE_CANTOPEN":
            return AccessDenied(
                f"cannot {doing} {path}: this user may not open it, or make the files beside it,"
                " or they are on a read-only file system"
            )
        case "SQLITE_NOTADB":
            return SchemaMismatch(
                f"{path} is not a SQLite database; give the path of a hive-state store or of a new file",
                found=None,
                expected=SCHEMA_VERSION,
            )
        case "SQLITE_CORRUPT":
            return CorruptData(
                f"{path} is damaged ({error}); restore a copy, or try SQLite's .recover", raw=b""
            )
        case "SQLITE_IOERR":
            return Indeterminate(f"the disk failed while hive-state tried to {doing} {path} ({name})")
    return Internal(f"unforeseen {name or type(error).__name__} while hive-state tried to {doing} {path}")
