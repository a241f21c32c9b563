"""What of a SQLite store's surroundings may go wrong: for `hive-state doctor`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hive_state_core.spi import Finding

_SHARES = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs"})
"""File systems on which the shared memory of the write-ahead log does not work between machines."""

LITTLE_ROOM = 100_000_000
"""Bytes; a store also needs room for its write-ahead log."""


def examine(path: str, synchronous: str, version: str, wal_reset: tuple[str, ...]) -> list[Finding]:
    """Without opening the file; it need not exist."""
    return [_version(version, wal_reset), *_place(path), _synchronous(synchronous)]


def _version(version: str, wal_reset: tuple[str, ...]) -> Finding:
    if not wal_reset:
        return Finding(name="sqlite", status="ok", sentence=f"SQLite {version}")
    mend = "upgrade SQLite to 3.51.3, which comes with a newer Python or operating system"
    return Finding(name="sqlite", status="warn", sentence=wal_reset[0], mend=mend)


def _place(path: str) -> Iterator[Finding]:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        yield Finding(
            name="folder", status="fail", sentence=f"{folder} is not there", mend=f"mkdir -p {folder}"
        )
        return
    yield _rights(path, folder)
    yield _file_system(folder)
    room = shutil.disk_usage(folder).free
    mend = None if room >= LITTLE_ROOM else "make room: a write that finds none is refused"
    sentence = f"{room / 1e9:.1f} GB are free in {folder}"
    yield Finding(name="room", status="warn" if mend else "ok", sentence=sentence, mend=mend, free=room)


def _rights(path: str, folder: str) -> Finding:
    """SQLite makes files of its own beside the store, so it needs the folder too."""
    wanted = [(folder, os.W_OK | os.X_OK)]
    if os.path.exists(path):
        wanted.append((path, os.R_OK | os.W_OK))
    refused = [place for place, mode in wanted if not os.access(place, mode)]
    if not refused:
        return Finding(name="rights", status="ok", sentence=f"{folder} can be written to")
    mend = f"give user {os.getuid()} the right to write to it (chown, chmod), or remount it"
    return Finding(
        name="rights", status="fail", sentence=f"{' and '.join(refused)} cannot be written", mend=mend
    )


def _file_system(folder: str) -> Finding:
    kind = file_system_of(folder)
    if kind is None:
        return Finding(name="file system", status="ok", sentence="unknown on this platform")
    if kind in _SHARES:
        sentence = f"{folder} is on a network share ({kind}), where SQLite corrupts files that two hosts open"
        mend = "put the file on a local disk, or take a server: postgres://"
        return Finding(name="file system", status="fail", sentence=sentence, mend=mend)
    return Finding(name="file system", status="ok", sentence=f"{kind}")


def file_system_of(folder: str, mounts: str = "/proc/self/mounts") -> str | None:
    """Its kind, None where the platform does not tell."""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best, kind = "", None
    real = os.path.realpath(folder)
    for line in lines:
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if len(point) >= len(best) and (real == point or real.startswith(point.rstrip("/") + "/")):
            best, kind = point, found
    return kind


def _synchronous(mode: str) -> Finding:
    if mode == "FULL":
        return Finding(
            name="durability", status="ok", sentence="a write is on the disk before it is acknowledged"
        )
    sentence = f"synchronous={mode}: a power cut may take the last acknowledged writes"
    mend = "leave out ?synchronous= (FULL), unless that loss is acceptable"
    return Finding(name="durability", status="warn", sentence=sentence, mend=mend)
