"""The blocking API: verbs, iterators and blocks, threads, Ctrl-C and fork."""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hive_state_core.backoff import Backoff
from hive_state_core.errors import AlreadyExists, Closed, Conflict, InvalidArgument, LeaseLost
from hive_state_core.model import TaskRef, TaskState
from hive_state_core.portal import Portal
from hive_state_core.spi import Batch, Release
from hive_state_core.sync import Store, open_store


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/hive.db") as hive:
        yield hive


def test_the_types_are_those_of_the_asynchronous_api() -> None:
    maker = runpy.run_path(str(Path(__file__).with_name("make_sync_stub.py")))
    assert maker["STUB"].read_text() == maker["stub"](), "make it anew: python tests/unit/make_sync_stub.py"


def test_verbs_return(hive: Store) -> None:
    version = hive.records.put("c", "k", {"n": 1})
    record = hive.records.get("c", "k")
    assert record is not None
    assert (record.value, record.version) == ({"n": 1}, version)
    with pytest.raises(Conflict):
        hive.records.put("c", "k", 2, if_version=version + 1)
    agent = hive.agents.register("a", capabilities=["plan"])
    assert hive.agents.update(agent, status="busy").status == "busy"
    assert hive.sessions.set("s", 1, ttl=60)
    assert hive.health().status in ("ok", "warn")
    assert hive.features.durability
    assert "hive.db" in repr(hive)


def test_generators_are_iterators(hive: Store) -> None:
    for n in range(5):
        hive.records.put("c", f"k{n}", n)
    assert [record.value for record in hive.records.list("c")] == [0, 1, 2, 3, 4]
    changes = hive.records.watch("c", "k0")
    assert next(changes).record is not None
    changes.close()
    assert list(changes) == []


def test_a_lease_is_a_block(hive: Store) -> None:
    for id in ("good", "bad", "own"):
        hive.tasks.enqueue("q", {"id": id}, id=id, max_attempts=1)
    seen = []
    for lease in hive.tasks.consume("q", worker="w"):
        seen.append(lease.id)
        with contextlib.suppress(ValueError), lease:
            if lease.id == "bad":
                raise ValueError("bad")
            if lease.id == "own":
                hive.tasks.fail(lease, "on purpose", retry_in=None)
            lease.result = lease.payload
        if len(seen) == 3:
            break
    states = {id: hive.tasks.wait(id, timeout=10).state for id in seen}
    assert states == {"good": TaskState.COMPLETED, "bad": TaskState.DEAD, "own": TaskState.DEAD}
    good = hive.tasks.get("good")
    assert good is not None
    assert good.result == {"id": "good"}
    hive.tasks.enqueue("q", 1)
    (claimed,) = hive.tasks.claim("q", worker="w")
    hive.tasks.complete(claimed, "claimed")


def test_a_lost_lease_is_told_at_the_end_of_its_block(hive: Store) -> None:
    hive.tasks.enqueue("q", 1, id="t")
    lease = hive.tasks.take("t", worker="w", lease=0.2)
    assert lease is not None
    release = Batch((Release(TaskRef("t"), lease.token),))
    lease.__enter__()
    hive._portal.call(hive._target._trips.commit(release))  # type: ignore[attr-defined]
    while not lease.lost:
        time.sleep(0.01)
    with pytest.raises(LeaseLost):
        lease.__exit__(None, None, None)


def test_units_and_locks_are_blocks(hive: Store) -> None:
    hive.tasks.enqueue("q", 1)
    (lease,) = hive.tasks.claim("q", worker="w")
    with hive.locks.acquire("deploy") as lock, lease:
        assert lock.fencing_token
        with pytest.raises(AlreadyExists):
            hive.locks.acquire("deploy", wait=0).__enter__()
        with hive.atomic() as unit:
            unit.locks.expect(lock)
            unit.tasks.complete(lease, "done")
            written = unit.records.put("c", "k", 1)
            unit.events.publish("s", {"n": 1})
        assert written.result == unit.version
    assert hive.locks.holder("deploy") is None
    with contextlib.suppress(ValueError), hive.atomic() as unit:
        unit.records.put("c", "never", 1)
        raise ValueError
    assert hive.records.get("c", "never") is None
    assert [event.body for event in hive.events.read("s")] == [{"n": 1}]


def test_events_are_consumed(hive: Store) -> None:
    hive.events.publish_many("s", range(3))
    got = []
    for delivery in hive.events.consume("s", group="g", start="beginning"):
        with delivery:
            got.append(delivery.body)
        if len(got) == 3:
            break
    assert got == [0, 1, 2]
    assert hive.events.lag("s", "g") == 0


def test_handlers_work_in_threads(hive: Store) -> None:
    hive.tasks.enqueue_many("q", range(20))
    stop, threads, together = threading.Event(), set(), threading.Barrier(4)

    def handler(lease: Any) -> Any:
        if lease.payload < 4:
            together.wait(20)  # four at once
        threads.add(threading.current_thread().name)
        if lease.payload == 7:
            raise ValueError("unlucky")
        return lease.payload * 2

    def end() -> None:
        while hive.tasks.count(states="completed") < 19:
            time.sleep(0.01)
        stop.set()

    ending = threading.Thread(target=end)
    ending.start()
    hive.tasks.work("q", handler, worker="w", concurrency=4, stop=stop, backoff=Backoff(base=3600, cap=3600))
    ending.join()
    results = {task.result for task in hive.tasks.list(states="completed")}
    assert results == {2 * n for n in range(20) if n != 7}
    assert all(name.startswith("hive-state handler") for name in threads)


def test_many_threads_share_a_store(hive: Store) -> None:
    hive.records.put("c", "n", 0)

    def add(_: int) -> None:
        while True:
            record = hive.records.get("c", "n")
            assert record is not None
            try:
                hive.records.put("c", "n", record.value + 1, if_version=record.version)
                return
            except Conflict:
                continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    record = hive.records.get("c", "n")
    assert record is not None
    assert record.value == 40


def test_opening_and_closing(tmp_path: Path) -> None:
    before = set(threading.enumerate())  # those of other tests may end meanwhile
    hive = open_store(f"sqlite:///{tmp_path}/hive.db")
    with pytest.raises(Closed, match="not open"):
        hive.records.get("c", "k")
    with hive:
        following = hive.events.follow("s")
        hive.records.put("c", "k", 1)
        left = hive.records.watch("c")
        next(left)
    hive.close()
    with pytest.raises(Closed):
        hive.records.get("c", "k")
    with pytest.raises(Closed):
        next(following)
    del left
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread that was told to end takes its moment
    assert not set(threading.enumerate()) - before
    broken = open_store(f"sqlite:///{tmp_path}/no/such/folder/hive.db")
    with pytest.raises(Exception, match="no/such/folder"):
        broken.open()
    assert not set(threading.enumerate()) - before


def test_a_call_on_the_thread_of_the_loop_is_refused(hive: Store) -> None:
    async def blocked() -> None:
        hive.records.get("c", "k")

    with pytest.raises(InvalidArgument, match="wait for ever"):
        hive._portal.call(blocked())  # type: ignore[attr-defined]


def test_a_forked_child_is_told(hive: Store) -> None:
    hive.records.put("c", "k", 1)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            hive.records.get("c", "k")
        except Closed as error:
            os.write(writing, str(error).encode())
        hive.close()
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    told = os.read(reading, 1000).decode()
    os.close(reading)
    assert f"by process {os.getpid()}, before a fork" in told
    assert hive.records.get("c", "k") is not None


def run(tmp_path: Path, code: str, interrupts: int = 1) -> tuple[int, str]:
    """Runs a program, interrupts it whenever it says "now", and returns its exit code and output."""
    program = f"from hive_state_core.sync import open_store\nURL = 'sqlite:///{tmp_path}/hive.db'\n"
    said = ""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program + textwrap.dedent(code)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if line.startswith("now") and interrupts:
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                interrupts -= 1
        return process.wait(30), said


def test_ctrl_c_ends_a_call_that_waits(tmp_path: Path) -> None:
    code, said = run(
        tmp_path,
        """
        with open_store(URL) as hive:
            print("now")
            try:
                for lease in hive.tasks.consume("q", worker="w"):
                    pass
            except KeyboardInterrupt:
                hive.records.put("c", "k", "usable")
                print(hive.records.get("c", "k").value)
                raise
        """,
    )
    assert "usable" in said
    assert "KeyboardInterrupt" in said
    assert code == -signal.SIGINT


def test_ctrl_c_in_a_block_gives_its_task_back(tmp_path: Path) -> None:
    _, said = run(
        tmp_path,
        """
        import time
        with open_store(URL) as hive:
            hive.tasks.enqueue("q", 1, id="t")
            lease = hive.tasks.take("t", worker="w")
            try:
                with lease:
                    print("now")
                    time.sleep(20)
            except KeyboardInterrupt:
                task = hive.tasks.get("t")
                print(task.state.value, task.attempt)
        """,
    )
    assert "ready 0" in said


def test_ctrl_c_lets_handlers_finish(tmp_path: Path) -> None:
    _, said = run(
        tmp_path,
        """
        import time
        with open_store(URL) as hive:
            hive.tasks.enqueue_many("q", range(50))
            def handler(lease):
                print("now")
                time.sleep(0.6)
            try:
                hive.tasks.work("q", handler, worker="w", concurrency=2)
            except KeyboardInterrupt:
                done = hive.tasks.count(states="completed")
                print("finished", 2 <= done < 50, hive.tasks.count(states="leased"))
        """,
    )
    assert "finished True 0" in said


def test_the_end_of_a_program_closes_what_was_left_open(tmp_path: Path) -> None:
    code, said = run(
        tmp_path,
        """
        hive = open_store(URL)
        hive.open()
        hive.records.put("c", "k", 1)
        print("end")
        """,
        interrupts=0,
    )
    assert (code, said) == (0, "end\n")


def test_a_portal_that_was_never_started_stops() -> None:
    Portal().stop()
