"""Work that hops to a connection's thread: its answer, its errors, and callers that do not wait for it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hive_state_core.outliving import Outliving
from hive_state_sqlite.hopping import HopConnection, connect

NAME = "hive-state-sqlite"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "hive.db").touch()
    return str(tmp_path / "hive.db")


@pytest.fixture
async def connection(path: str) -> AsyncIterator[HopConnection]:
    opened = await connect(path)
    yield opened
    await opened.close()


def threads() -> int:
    return [thread.name for thread in threading.enumerate()].count(NAME)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


def blocked(_: sqlite3.Connection, go: threading.Event, done: list[str]) -> str:
    go.wait(5)
    done.append("done")
    return "answer"


async def test_answers_and_errors_come_back(connection: HopConnection) -> None:
    def add(db: sqlite3.Connection, a: int, b: int) -> int:
        assert threading.current_thread().name == NAME
        return int(db.execute("SELECT ? + ?", (a, b)).fetchone()[0])

    def fail(db: sqlite3.Connection) -> None:
        db.execute("SELECT * FROM nothing")

    assert await connection.hop(add, 1, 2) == 3
    with pytest.raises(sqlite3.OperationalError, match="nothing"):
        await connection.hop(fail)
    assert await asyncio.gather(*(_awaited(connection, add, n) for n in range(50))) == [
        n + 1 for n in range(50)
    ]


async def _awaited(connection: HopConnection, add: Callable[..., int], n: int) -> int:
    return await connection.hop(add, n, 1)


async def test_a_cancelled_caller_leaves_at_once_and_the_work_goes_on(connection: HopConnection) -> None:
    go, done = threading.Event(), list[str]()

    async def call() -> str:
        return await connection.hop(blocked, go, done)

    caller = asyncio.create_task(call())
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == []
    go.set()
    assert await connection.hop(lambda _: "next") == "next"
    assert done == ["done"]


async def test_a_time_out_ends_the_waiting(connection: HopConnection) -> None:
    go, done = threading.Event(), list[str]()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await connection.hop(blocked, go, done)
    go.set()


@pytest.mark.parametrize("answered", [False, True])
async def test_what_outlives_its_caller_hears_the_answer(connection: HopConnection, answered: bool) -> None:
    """Cancelled while the work is under way, or in the turn in which its answer comes."""
    go, done = threading.Event(), list[str]()
    orphans: list[asyncio.Task[str]] = []

    async def work() -> str:
        return await connection.hop(blocked, go, done)

    async def call() -> str:
        return await Outliving(work(), orphans.append)

    caller = asyncio.create_task(call())
    await asyncio.sleep(0.01)
    if answered:
        go.set()
        while not done:
            time.sleep(0.001)  # the event loop stands still meanwhile
        time.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go.set()
    assert await orphans[0] == "answer"
    assert done == ["done"]


async def test_closing_waits_for_what_was_begun_and_ends_the_thread(path: str) -> None:
    before = threads()
    connection = await connect(path)
    go, done = threading.Event(), list[str]()
    working = asyncio.create_task(_blocked(connection, go, done))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0.01)
    go.set()
    await closing
    assert await working == "answer"
    with pytest.raises(ValueError, match="not open"):
        connection.hop(lambda _: None)
    await connection.close()
    await until(lambda: threads() == before)


async def _blocked(connection: HopConnection, go: threading.Event, done: list[str]) -> str:
    return await connection.hop(blocked, go, done)


async def test_a_connection_that_was_forgotten_ends_its_thread(path: str) -> None:
    before = threads()
    connection = await connect(path)
    assert threads() == before + 1
    del connection
    await until(lambda: threads() == before)


async def test_a_file_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    before = threads()
    with pytest.raises(sqlite3.OperationalError):
        await connect(str(tmp_path / "not there.db"))
    await until(lambda: threads() == before)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_event_loop_that_was_closed_is_not_told(path: str) -> None:
    before = threads()
    go, done = threading.Event(), list[str]()

    async def leave() -> HopConnection:
        connection = await connect(path)
        tasks.append(asyncio.create_task(_blocked(connection, go, done)))
        await asyncio.sleep(0.01)
        return connection

    tasks: list[asyncio.Task[str]] = []
    connection = asyncio.run(leave())
    go.set()
    asyncio.run(connection.close())
    assert done == ["done"]
    asyncio.run(until(lambda: threads() == before))


async def test_what_comes_then_is_not_waited_for(connection: HopConnection) -> None:
    may_end = threading.Event()
    done: list[str] = []

    def then() -> None:
        may_end.wait(5)
        done.append("then")

    assert await connection.hop_then(then, lambda db: 1) == 1
    assert done == []
    may_end.set()
    await connection.hop(lambda db: done.append("next"))
    assert done == ["then", "next"]


async def test_what_comes_then_follows_an_error_too(connection: HopConnection) -> None:
    done: list[int] = []
    with pytest.raises(sqlite3.Error):
        await connection.hop_then(lambda: done.append(1), lambda db: db.execute("nonsense"))
    await connection.hop(lambda db: None)
    assert done == [1]
