"""Creating and recognising a store's file."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from uuid import uuid4

from hive_state_core.errors import SchemaMismatch
from hive_state_sqlite import capturing, statements
from hive_state_sqlite.connection import APPLICATION_ID, SCHEMA_VERSION, immediate, rollback

SCRIPTS = (statements.SCHEMA, statements.SCHEMA_2)
"""Each makes one version of the schema from the one before."""


def create_file(path: str) -> None:
    """An empty file if there is none, so that everything after it may require one. Raises OSError.

    One that is there is not opened: to close it again would take away, without a word, the locks that SQLite
    has on it for other stores of this process. Another process would take itself for the last one then, and
    remove the log that they write to.
    """
    path = os.path.realpath(path)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def exists(path: str) -> bool:
    """Raises OSError for a folder."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return os.path.exists(path)


def found_version(db: sqlite3.Connection, path: str) -> int | None:
    """The schema version in the file; None for an empty database.

    Raises SchemaMismatch for another program's database and for a version newer than ours.
    """
    if db.in_transaction:
        return _found_version(db, path)
    db.execute("BEGIN")  # one snapshot: somebody else may be creating the schema
    try:
        return _found_version(db, path)
    finally:
        rollback(db)


def _found_version(db: sqlite3.Connection, path: str) -> int | None:
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application_id == APPLICATION_ID and version:
        if version > SCHEMA_VERSION:
            raise SchemaMismatch(
                f"{path} has schema version {version}, this hive-state knows up to {SCHEMA_VERSION}:"
                " upgrade hive-state",
                found=version,
                expected=SCHEMA_VERSION,
            )
        return int(version)
    if application_id or db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        raise SchemaMismatch(
            f"{path} is a SQLite database of another program, not a hive-state store; give another path",
            found=None,
            expected=SCHEMA_VERSION,
        )
    return None


def steps(found: int | None) -> tuple[str, ...]:
    """What an upgrade would do, in words."""
    if found is None:
        return ("create the schema",)
    return () if found == SCHEMA_VERSION else (f"upgrade the schema from version {found}",)


def ensure(db: sqlite3.Connection, path: str) -> None:
    """Create the schema in an empty database, or upgrade it. Safe beside others that do the same at once."""
    if found_version(db, path) == SCHEMA_VERSION:
        return
    with immediate(db):
        found = found_version(db, path) or 0
        for script in SCRIPTS[found:]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def namespace_id(db: sqlite3.Connection, namespace: str) -> int:
    """`control.ns` of the namespace, whose control row is made if there is none."""
    row = db.execute("SELECT ns FROM control WHERE namespace = ?", (namespace,)).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO control (namespace, store_id, state, term, epoch, counter, orders, clock)"
            " VALUES (?, ?, 'open', 1, 1, 0, 0, ?) ON CONFLICT DO NOTHING",
            (namespace, uuid4().hex, time.time_ns() // 1_000_000),
        )
        row = db.execute("SELECT ns FROM control WHERE namespace = ?", (namespace,)).fetchone()
    return int(row[0])


TABLES = (
    "sinks",  # first: what goes now is not captured
    "records",
    "tasks",
    "queues",
    "commits",
    "streams",
    "events",
    "groups",
    "pending",
    "marks",
    "gone",
    "notes",
    "control",
)


def drop_namespace(db: sqlite3.Connection, ns: int) -> None:
    """Remove every row of one namespace."""
    with immediate(db):
        for table in TABLES:
            db.execute(f"DELETE FROM {table} WHERE ns = ?", (ns,))
        capturing.adjust(db)


def _statements(script: str) -> list[str]:
    """The statements of the script one by one (`executescript` would commit first)."""
    found, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found
