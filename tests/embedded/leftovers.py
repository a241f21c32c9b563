"""For tests of what is left when a process ends that holds a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from hive_state_core.embedded import supervisor

HOLDER = Path(__file__).with_name("holder.py")


def wait_until(true: Callable[[], bool], seconds: float = 8.0) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def shared_memory() -> list[str]:
    """Where Linux lists it, its segments: key, id, permissions, size, pid of the maker, and so on."""
    listed = Path("/proc/sysvipc/shm")
    return listed.read_text().splitlines()[1:] if listed.exists() else []


class Holder:
    """A process that holds a server, without HOME and the like, in a session of its own."""

    def __init__(self, mode: str, place: Path) -> None:
        env = {"PATH": os.environ["PATH"], "TMPDIR": str(place)}
        command = [sys.executable, str(HOLDER), mode]
        self.process = subprocess.Popen(
            command,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._place = place
        assert self.says() == ["starting"]

    def says(self) -> list[str]:
        assert self.process.stdout
        return self.process.stdout.readline().split()

    def ends(self, by: signal.Signals) -> None:
        """The signal goes to the whole foreground group, as that of a terminal does."""
        tree = list(supervisor._descendants(self.process.pid))
        os.killpg(self.process.pid, by)
        assert self.process.wait(10) != 0
        assert wait_until(lambda: list(self._place.iterdir()) == [])
        assert wait_until(lambda: not any(map(supervisor._runs, self._not_forked(tree))))

        assert not any(segment.split()[4] in map(str, tree) for segment in shared_memory())

    def _not_forked(self, tree: list[int]) -> list[int]:
        return [pid for pid in tree if pid != self.forked]

    forked = 0


Hold: TypeAlias = Callable[[str], Holder]
