"""A sorted map in a file that is only appended to. One line is one commit: a checksum, and what it wrote.

    b1d5781e {"key": "value", "removed": null}

Keys and values are bytes; in the line each byte is the character of that number.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from hive_state_core.errors import (
    AccessDenied,
    Closed,
    ConfigError,
    CorruptData,
    Indeterminate,
    StoreFull,
    Unavailable,
)
from hive_state_core.kv import Row, SortedMap

Writes = Mapping[bytes, bytes | None]

COMPACT_BYTES = 1 << 20
"""A smaller file is never written anew."""


class Journal:
    """Safe to use from several threads, and from several processes at once. Every call blocks."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._file = -1
        self._forget()

    def _forget(self) -> None:
        self._rows: SortedMap[bytes] = SortedMap()
        self._end = 0  # of the last whole line that `_rows` holds

    def open(self) -> None:
        """Make the file if it is not there, and read it. Raises ConfigError, AccessDenied, CorruptData."""
        with self._mutex:
            self._file = self._opened()
        try:
            with self._locked(fcntl.LOCK_EX):
                self._compact()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with self._mutex:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1
            self._forget()

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._locked(fcntl.LOCK_SH):
            return [self._rows.get(key) for key in keys]

    def range(self, start: bytes, stop: bytes, limit: int | None, reverse: bool) -> list[Row]:
        with self._locked(fcntl.LOCK_SH):
            return self._rows.range(start, stop, limit, reverse)

    def swap(self, guard: bytes, expected: bytes | None, writes: Writes) -> bool:
        """Write all of it, synced, if the guard has the expected value."""
        with self._locked(fcntl.LOCK_EX):
            if self._rows.get(guard) != expected:
                return False
            if writes:
                line = _line(writes)
                self._append(line)
                self._end += len(line)
                self._apply(writes)
            return True

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the file, and have read what other processes wrote."""
        until = time.monotonic() + self._timeout
        with self._mutex:
            if self._file < 0:
                raise Closed("the journal is not open")
            while not self._try_lock(how):
                if time.monotonic() > until:
                    raise Unavailable(f"other processes kept {self._path} for {self._timeout:g} s")
                time.sleep(0.002)
            try:
                self._catch_up()
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _try_lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if os.fstat(self._file).st_ino == self._path.stat().st_ino:
            return True
        os.close(self._file)  # it was written anew meanwhile: this is the old file
        self._file = self._opened()
        self._forget()
        return False

    def _opened(self) -> int:
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise AccessDenied(f"{self._path} cannot be read and written by this user") from error
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be opened: {error.strerror}") from error
        _sync_folder(self._path)
        return file

    def _catch_up(self) -> None:
        """Read the lines after the last one that is known. What is torn at the end was never acknowledged."""
        size = os.fstat(self._file).st_size
        if size <= self._end:
            return
        whole, _, _ = _read(self._file, self._end, size).rpartition(b"\n")
        for line in whole.split(b"\n") if whole else ():
            self._apply(_writes(line, self._path))
            self._end += len(line) + 1

    def _apply(self, writes: Writes) -> None:
        for key, value in writes.items():
            if value is None:
                self._rows.remove(key)
            else:
                self._rows.put(key, value)

    def _append(self, line: bytes) -> None:
        with _refusing(self._path):
            os.ftruncate(self._file, self._end)  # what a crash has torn
            try:
                _write(self._file, line, self._end)
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise Indeterminate(f"{self._path} may have been written: {error.strerror}") from error

    def _compact(self) -> None:
        """Write the file anew if most of it is history. A crash leaves the old one in place."""
        line = _line(self._rows.items())
        if self._end < COMPACT_BYTES or self._end < 2 * len(line):
            return
        fresh = self._path.with_name(self._path.name + ".new")
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with _refusing(fresh):
                fcntl.flock(file, fcntl.LOCK_EX)
                _write(file, line, 0)
                os.fsync(file)
                fresh.replace(self._path)
                _sync_folder(self._path)
        except BaseException:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._end = file, len(line)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """What the system refuses, as an error of ours."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        kind = StoreFull if full else Unavailable
        raise kind(f"{path} cannot be written: {error.strerror}") from error


def _line(writes: Writes) -> bytes:
    text = {
        key.decode("latin-1"): None if value is None else value.decode("latin-1")
        for key, value in writes.items()
    }
    body = json.dumps(text).encode()
    return b"%08x %b\n" % (crc32(body), body)


def _writes(line: bytes, path: Path) -> dict[bytes, bytes | None]:
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % crc32(body):
        raise CorruptData(f"{path} has a line with a wrong checksum, or is no journal", raw=line)
    text: dict[str, str | None] = json.loads(body)
    return {
        key.encode("latin-1"): None if value is None else value.encode("latin-1")
        for key, value in text.items()
    }


def _read(file: int, start: int, stop: int) -> bytes:
    found = b""
    while start + len(found) < stop:
        found += os.pread(file, stop - start - len(found), start + len(found))
    return found


def _write(file: int, data: bytes, start: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], start + done)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
