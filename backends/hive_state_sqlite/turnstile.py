"""A fair, advisory lock between the processes that write one SQLite database.

It is for *fairness*: SQLite's busy handler sleeps up to 100 ms between polls, so a process that enters again
at once starves the others. And it mitigates the *WAL-reset bug* of SQLite 3.7.0 to 3.51.2, by which a commit
during a checkpoint may corrupt the database: hive-state does either only while it holds the turnstile. See
docs/adr/0003-sqlite-wal-reset.md.

SQLite's own locks stay in force: atomicity and isolation never depend on the turnstile. It locks two side
files and never opens the database, as closing any descriptor of that drops the POSIX locks SQLite has on it.
With an affected SQLite, a writer that cannot get in must report "busy" and not go on without.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import sys
import time
import weakref

if sys.platform != "win32":
    import fcntl

SUPPORTED = sys.platform != "win32"
"""False where there is no `flock`: there, every turnstile is a no-op that is always open."""

_HEAD_POLL_S = 0.0001  # how often the head of the queue tries for the writer's place
_QUEUE_POLL_S = 0.002  # how often a newcomer tries to become the head
_AGEING_S = 0.005  # having waited this long, it tries twice as often; twice this, three times; ...
_live: weakref.WeakSet[Turnstile] = weakref.WeakSet()


def wal_reset_safe(version: tuple[int, int, int]) -> bool:
    """Tell whether this SQLite release is free of the WAL-reset bug.

    It came with WAL in 3.7.0 and is fixed in 3.51.3 and later, and in 3.44.6 and 3.50.7 and later of their
    branches. A vendor's patch under an old version number is not seen: then the answer is a needless False.
    """
    if version < (3, 7, 0) or version >= (3, 51, 3):
        return True
    fixed_in = {(3, 44): 6, (3, 50): 7}.get(version[:2])
    return fixed_in is not None and version[2] >= fixed_in


class Turnstile:
    """A writer's pass to one database: one for each writer connection, used on that connection's thread.

    Guaranteed on one machine, between processes and between the Turnstiles of one process:

    - at most one is inside, from `acquire() -> True` to `release()`;
    - who leaves and enters again cannot overtake the head of the queue. Places behind the head are drawn by
      lot, with odds that grow with the time waited;
    - a killed process is out at once, since the kernel drops its locks; a forked child inherits no place.
    """

    def __init__(self, database: str | os.PathLike[str]) -> None:
        """Open the side files. The database must exist; OSError where they cannot be made (read-only)."""
        # By its real path, so that every spelling and link of one database meets at the same files.
        self._database = os.path.realpath(database)
        self._queue = self._writer = -1
        self._flag: mmap.mmap | bytearray = bytearray(1)
        self._held = False
        _live.add(self)
        self._open()

    def acquire(self, timeout_s: float) -> bool:
        """Wait for the turn, about `timeout_s` at most; False if it did not come, OSError if it cannot."""
        if self._held:
            raise RuntimeError("this turnstile is held already")
        start = 0.0
        while SUPPORTED:
            if self._queue < 0:
                self._open()  # in a forked child, or after the side files were deleted
            if self._flag[0] or not _try_lock(self._writer):
                start = start or time.monotonic()
                if not self._queue_up(start, timeout_s):
                    return False
            if os.fstat(self._writer).st_nlink:
                break
            self._drop()  # deleted, say by a cleaner of temporary files: meet the others at new ones
        self._held = True
        return True

    def _queue_up(self, start: float, timeout_s: float) -> bool:
        """Wait in the queue for the writer's place. The flag is up while the queue has a head; if that is
        killed, until there has been another."""
        if not _lock(self._queue, start, timeout_s, _QUEUE_POLL_S, ages=True):
            return False
        self._flag[0] = 1
        try:
            return _lock(self._writer, start, timeout_s, _HEAD_POLL_S, ages=False)
        finally:
            self._flag[0] = 0
            _unlock(self._queue)

    def release(self) -> None:
        """Leave. Without effect when not inside, as in a child that was forked inside."""
        if self._held:
            self._held = False
            _unlock(self._writer)

    def close(self) -> None:
        """Leave for good. The files stay: who has them open and a newcomer would not exclude each other."""
        self._drop()
        self._database = ""

    def _drop(self) -> None:
        self._held = False
        for descriptor in (self._queue, self._writer):
            if descriptor >= 0:
                os.close(descriptor)
        self._queue = self._writer = -1
        self._flag = bytearray(1)

    def _open(self) -> None:
        if not self._database:
            raise ValueError("this turnstile is closed")
        if SUPPORTED:
            try:
                self._queue = _open_beside(self._database, "-turnstile-queue")
                self._writer = _open_beside(self._database, "-turnstile-writer")
                self._flag = _shared_byte(self._queue)
            except OSError:
                self._drop()
                raise


def _lock(fd: int, start: float, timeout_s: float, poll_s: float, *, ages: bool) -> bool:
    """Poll for the lock, since a blocking flock has no timeout."""
    if sys.platform != "win32":
        while not _try_lock(fd):
            waited = time.monotonic() - start
            if waited >= timeout_s:
                return False
            pause = poll_s * random.uniform(0.5, 1.5)
            if ages:
                pause = max(pause / (1.0 + waited / _AGEING_S), _HEAD_POLL_S)
            time.sleep(min(pause, timeout_s - waited))
    return True


def _try_lock(fd: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _unlock(fd: int) -> None:
    if sys.platform != "win32" and fd >= 0:
        fcntl.flock(fd, fcntl.LOCK_UN)


def _shared_byte(fd: int) -> mmap.mmap:
    """The first byte of the file, as all processes see it."""
    if not os.fstat(fd).st_size:
        os.pwrite(
            fd, b"\0", 0
        )  # on a full disk this fails, where writing to a mapped hole would kill the process
    return mmap.mmap(fd, 1)


def _open_beside(database: str, suffix: str) -> int:
    """Open a side file. A new one is as open as the database: who may write that may queue for it."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(database + suffix, flags)
        like = os.stat(database)
        with contextlib.suppress(FileExistsError):  # another process was first: open that one
            fd = os.open(database + suffix, flags | os.O_CREAT | os.O_EXCL, like.st_mode & 0o666)
            if sys.platform != "win32":
                with contextlib.suppress(OSError):  # not our group, or a file system without owners
                    os.fchmod(fd, like.st_mode & 0o666)  # whatever the umask
                    os.fchown(fd, like.st_uid if os.geteuid() == 0 else -1, like.st_gid)
            return fd


def _forget_inherited() -> None:
    """Close, in a forked child, the parent's descriptors: they would keep its locks beyond its death."""
    for turnstile in list(_live):
        turnstile._drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)
