"""One snapshot of the file: a private copy, made in a moment, read at leisure, removed in the end."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hive_state_core.errors import (
    AccessDenied,
    ConfigError,
    CorruptData,
    HiveStateError,
    Internal,
    SchemaMismatch,
    StoreFull,
    Unavailable,
)
from hive_state_legacy import copying

HIVE = 0x68697665
"""`PRAGMA application_id` of a hive-state store on SQLite."""


class Text(bytes):
    """A cell of storage class TEXT, as its bytes: UTF-8, as far as whoever wrote it kept to that."""

    __slots__ = ()


Cell = int | float | bytes | Text | None


class Snapshot:
    """The file at `path` as it was when this was opened. For one thread at a time."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self._timeout = timeout
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._db: sqlite3.Connection | None = None
        self.encoding = "UTF-8"

    @property
    def copy(self) -> str:
        """Path of the copy; whoever looks at it leaves it as it is."""
        if self._folder is None:
            raise Internal("the snapshot is not open")
        return os.path.join(self._folder.name, "copy.db")

    def open(self) -> None:
        """Raises ConfigError (no such file), AccessDenied, SchemaMismatch (not SQLite, or not a hive's),
        Unavailable (written to all the time), StoreFull (no room for the copy), CorruptData."""
        try:
            self._folder = tempfile.TemporaryDirectory(
                prefix="hive-state-legacy-", ignore_cleanup_errors=True
            )
            self._copy()
            with self.native_errors():
                self._open_copy()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, as they are found."""
        if self._db is None:
            raise Internal("the snapshot is not open")
        with self.native_errors():
            # Not `yield from`: that closes the cursor of a walk that is left, maybe after the connection.
            for row in self._db.execute(sql, parameters):  # noqa: UP028
                yield row

    @contextmanager
    def native_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _copy(self) -> None:
        script = [sys.executable, "-I", copying.__file__, self.path, self.copy, str(self._timeout)]
        done = subprocess.run(script, capture_output=True, text=True, check=False)  # noqa: S603  our own script
        if done.returncode:
            kind, _, text = done.stdout.strip().partition(" ")
            raise _error(self.path, kind, text or done.stderr.strip().rpartition("\n")[2])

    def _open_copy(self) -> None:
        self._db = db = sqlite3.connect(self.copy, isolation_level=None, check_same_thread=False)
        self._look_at(db)
        db.execute("PRAGMA query_only = 1")

    def _look_at(self, db: sqlite3.Connection) -> None:
        """Raises unless it is whole, and may be the file of an original hive."""
        db.text_factory = Text
        (application,) = db.execute("PRAGMA application_id").fetchone()
        if application == HIVE:
            raise SchemaMismatch(
                f"{self.path} is a hive-state store already, not an original hive's file;"
                " `hive-state migrate run` moves stores",
                found=None,
                expected=0,
            )
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != b"ok":
            raise _damaged(self.path, found.decode(errors="replace"))
        self.encoding = db.execute("PRAGMA encoding").fetchone()[0].decode()

    def _translated(self, error: sqlite3.Error) -> HiveStateError:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        match "_".join(name.split("_")[:2]):
            case "SQLITE_CORRUPT":
                return _damaged(self.path, str(error))
            case "SQLITE_NOTADB":
                return _error(self.path, "foreign", "it is not a SQLite database")
            case "SQLITE_FULL":
                return _error(self.path, "full", str(error))
        return Internal(f"cannot read {self.path}: {error} ({name})")


def _damaged(path: str, what: str) -> CorruptData:
    return CorruptData(
        f"{path} is damaged ({what}); restore a copy, or rescue what there is by SQLite's .recover", raw=b""
    )


def _error(path: str, kind: str, text: str) -> HiveStateError:
    match kind:
        case "missing":
            return ConfigError(f"there is no file {path}")
        case "folder":
            return ConfigError(f"{path} is a directory; name the file of an original hive")
        case "denied":
            return AccessDenied(f"{path} cannot be read by this user ({text})")
        case "empty" | "foreign":
            message = f"{path} is not the file of an original hive: {text}"
            return SchemaMismatch(message, found=None, expected=0)
        case "damaged":
            return _damaged(path, text)
        case "busy":
            return Unavailable(f"{path} cannot be copied: {text}; try again when its hive has less to write")
        case "full":
            where = tempfile.gettempdir()
            return StoreFull(f"no room in {where} for a copy of {path}; TMPDIR names another place")
    return Internal(f"cannot copy {path}: {text}")
