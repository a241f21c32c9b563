"""Only one process at a time begins to follow a file. What it makes has its name once it is whole: who was
killed before that leaves nothing that is taken for a store."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hive_state_core.errors import Conflict

if sys.platform != "win32":
    import fcntl


def beside(path: str) -> Path:
    """The folder with the store beside a file."""
    return Path(f"{path}.hive-state")


def unfinished(path: str) -> Path:
    """The same, until it is whole."""
    return Path(f"{path}.hive-state.new")


def give_name(path: str) -> None:
    """It is whole."""
    unfinished(path).rename(beside(path))


def is_followed(path: str) -> bool:
    return beside(path).exists()


@contextmanager
def alone(path: str) -> Iterator[Path]:
    """The folder in which the store is made, empty; it is removed in the end, unless it was given its name.
    Raises Conflict while another process has it."""
    folder = unfinished(path)
    folder.mkdir(mode=0o700, exist_ok=True)
    opened = _locked(path, folder)
    try:
        for each in folder.iterdir():  # of a process that was killed
            each.unlink()
        yield folder
    finally:
        if folder.exists():
            shutil.rmtree(folder)
        os.close(opened)


def _locked(path: str, folder: Path) -> int:
    """The folder, opened; the lock ends with the process. Who had it may have removed the folder since."""
    busy = Conflict(
        f"another process begins to move the hive of {path}, or gives that up; try again", key=path
    )
    try:
        opened = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        raise busy from None
    try:
        if sys.platform != "win32":
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(opened), folder.stat()):
            return opened
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(opened)
    raise busy


def remove(path: str) -> None:
    """The store beside the file, if there is one."""
    if is_followed(path):
        shutil.rmtree(beside(path))
