"""A live migration from the file of an original hive, whose program works on and knows nothing of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from hive_state_core import Store, open_store
from hive_state_core.checkpoints import checkpoint_ref
from hive_state_core.cli import main
from hive_state_core.embedded import postgres_server, valkey_server
from hive_state_core.errors import Unavailable
from hive_state_core.legacy_model import decode_note, note_ref, status_of
from hive_state_core.model import RecordImage, StreamImage, TaskImage, TaskRef
from hive_state_core.spi import Control, ControlState, Replication
from hive_state_legacy import beginning, beside, returning, rounds, source

from .conftest import SCHEMA, File

WITH_SLOTS = SCHEMA.replace("status TEXT NOT NULL, current", "status TEXT NOT NULL, slot UNIQUE, current")
ALL = os.environ.get("HIVE_STATE_FAULTS") == "all"
PROGRAM = Path(__file__).with_name("original.py")

Original = Callable[..., "Program"]


class Program:
    """The original at work. Use as a context manager."""

    def __init__(self, file: File, seed: str, slots: int = 0) -> None:
        self.file = file
        self.log = file.folder.parent / f"{seed}.log"
        command = [sys.executable, str(PROGRAM), str(file.path), seed, str(slots)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=PIPE, stdout=log)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.write(b"\n")
            self.process.stdin.close()
        assert self.process.wait(20) == 0

    def said(self) -> list[list[Any]]:
        """Whole lines only."""
        return [json.loads(line) for line in self.log.read_text().split("\n")[:-1]]

    def works(self, more: int = 40) -> None:
        """Until it has done so much more."""
        least, until = len(self.said()) + more, time.monotonic() + 30
        while len(self.said()) < least:
            assert time.monotonic() < until
            time.sleep(0.02)


class Move:
    """`hive-state migrate` between the file and a store."""

    def __init__(self, file: File, store: str, options: str = "") -> None:
        self.file = file
        self.store = store
        self.source = f"legacy-sqlite:///{file.path}{options}"

    def run(self, *words: str, exit_code: int = 0) -> Result:
        done = CliRunner().invoke(main, ["migrate", *words, "--from", self.source, "--to", self.store])
        assert done.exit_code == exit_code, done.output
        return done

    def rows(self) -> dict[str, list[Any]]:
        with closing(sqlite3.connect(self.file.path)) as db:
            tables = ("agents", "tasks", "checkpoints", "system_snapshots")
            return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}

    def objects(self) -> list[str]:
        """What we have put into the file."""
        with closing(sqlite3.connect(self.file.path)) as db:
            named = db.execute("SELECT name FROM sqlite_master WHERE name LIKE 'hive%'")
            return [name for (name,) in named]


@pytest.fixture
def move(legacy: Callable[..., File], store: str) -> Move:
    return Move(legacy(), store)


def expected(said: list[list[Any]]) -> dict[str, dict[str, Any]]:
    """The last that was done to each agent and task."""
    found: dict[str, dict[str, Any]] = {"agents": {}, "tasks": {}}
    for table, key, status in said:
        if table in found:
            found[table][key] = status
    return {table: {key: status for key, status in rows.items() if status} for table, rows in found.items()}


def within(store: str, doing: Callable[[Store], Awaitable[None]]) -> None:
    async def do() -> None:
        async with open_store(store, janitor=False, follow=False) as hive:
            await doing(hive)

    asyncio.run(do())


async def require_arrived(hive: Store, said: list[list[Any]]) -> None:
    """Each write that succeeded, read from the store that the hive lives in."""
    wanted = expected(said)
    agents = {agent.id: agent.last_status async for agent in hive.agents.list()}
    assert agents == wanted["agents"]
    tasks = {}
    async for task in hive.tasks.list(queue="tasks"):
        image, note = (await hive._driver.read([TaskRef(task.id), note_ref(task.id)])).results
        assert isinstance(image, TaskImage)
        assert isinstance(note, RecordImage)
        tasks[task.id] = status_of(image.state, decode_note(note.value or b"", task.id))
    assert tasks == wanted["tasks"]
    numbers = [key for table, key, _ in said if table == "checkpoints"]
    names = {name for table, _, name in said if table == "checkpoints"}
    kept = [each.metadata["legacy_id"] for name in names async for each in hive.checkpoints.list(name)]
    assert kept == numbers[len(numbers) - len(kept) :]
    assert len(kept) >= min(10, len(numbers))


@pytest.mark.parametrize("slots", [0, 5], ids=["as it was", "a UNIQUE column"])
def test_what_succeeded_arrives_and_what_comes_later_fails(
    legacy: Callable[..., File], store: str, slots: int
) -> None:
    move = Move(legacy(WITH_SLOTS if slots else SCHEMA), store)
    with Program(move.file, "one", slots) as one:
        one.works()
        move.run("start")
        one.works()
        move.run("switch")
        before = move.rows()
        one.works(20)  # in vain
        assert move.rows() == before
    said = one.said()
    refused = [text for table, text, _ in said if table == "refused" and "hive-state: this hive" in text]
    assert len(refused) >= 20
    done = [line for line in said if line[0] != "refused"]
    within(store, lambda hive: require_arrived(hive, done))


def test_after_a_rollback_the_original_is_started_again(move: Move) -> None:
    with Program(move.file, "one") as one:
        one.works()
        move.run("start")
        move.run("switch")
    before, (changed, removed, *_) = move.rows(), expected(one.said())["agents"]

    async def work(hive: Store) -> None:
        await hive.agents.update(changed, status="moved")
        await hive.agents.register("new", capabilities=["x"])
        await hive.agents.remove(removed)
        await hive.tasks.enqueue("tasks", {"new": True})
        await hive.tasks.enqueue("elsewhere", {"kept": "beside"})
        await hive.checkpoints.save("one", {"by": "new"})

    within(move.store, work)
    move.run("rollback")
    after = move.rows()
    statuses = {id: status for id, status, *_ in after["agents"]}
    assert (statuses[changed], statuses["new"]) == ("moved", "idle")
    assert removed not in statuses
    assert len(after["tasks"]) == len(before["tasks"]) + 1
    assert set(before["tasks"]) < set(after["tasks"])  # to the byte
    assert json.loads(after["checkpoints"][-1][3]) == {"by": "new"}
    with Program(move.file, "two") as two:
        two.works(30)
        move.run("advance")
        move.run("switch")
    assert [line for line in two.said()[:30] if line[0] == "refused"] == []

    async def look(hive: Store) -> None:
        found = {agent.id: agent.last_status async for agent in hive.agents.list()}
        assert found.items() >= expected(two.said())["agents"].items()
        assert found[changed] == "moved"
        assert [task.payload async for task in hive.tasks.list(queue="elsewhere")] == [{"kept": "beside"}]

    within(move.store, look)


def test_cancelled_it_is_the_file_of_an_original_hive_and_nothing_else(move: Move) -> None:
    with Program(move.file, "one") as one:
        one.works(20)
    before = move.rows()
    move.run("start")
    assert move.objects()
    move.run("cancel")
    assert (move.rows(), move.objects()) == (before, [])
    assert [path.name for path in move.file.folder.iterdir()] == ["state_manager.db"]


def test_after_the_end_the_file_is_released_by_hand_alone(move: Move) -> None:
    """Until then a program that was forgotten cannot write where nobody looks any more."""
    move.file.agent("a")
    release = ["release-legacy", str(move.file.path), "--yes"]
    move.run("start")
    move.run("switch")
    refused = CliRunner().invoke(main, release)
    assert refused.exit_code == 1
    assert "`hive-state migrate complete` ends that" in refused.output
    move.run("complete", "--yes")
    with pytest.raises(sqlite3.IntegrityError, match="this hive has moved"):
        move.file.agent("b")
    before = move.rows()
    unasked = CliRunner().invoke(main, release[:2])
    assert (unasked.exit_code, "add --yes" in unasked.stderr) == (2, True)
    assert move.objects()
    released = CliRunner().invoke(main, release)
    assert released.exit_code == 0, released.output
    assert (move.rows(), move.objects()) == (before, [])
    assert [path.name for path in move.file.folder.iterdir()] == ["state_manager.db"]
    move.file.agent("b")


def test_the_fence_goes_although_the_folder_beside_was_lost(move: Move) -> None:
    move.file.agent("a")
    move.run("start")
    move.run("switch")
    shutil.rmtree(beginning.beside(str(move.file.path)))
    assert CliRunner().invoke(main, ["release-legacy", str(move.file.path), "--yes"]).exit_code == 0
    assert move.objects() == []
    move.file.agent("b")


def test_two_who_begin_at_once(move: Move) -> None:
    """One does, and the other is told; whatever became of them, the next one goes on."""
    move.file.agent("a")
    start = [sys.executable, "-m", "hive_state_core.cli", "migrate", "start"]
    for _ in range(5 if ALL else 1):
        both = [
            subprocess.Popen([*start, "--from", move.source, "--to", move.store], stderr=PIPE, text=True)
            for _ in range(2)
        ]
        ends = [(process.communicate(timeout=60)[1], process.returncode) for process in both]
        assert 0 in [code for _, code in ends], ends
        for told, code in ends:
            assert code == 0 or (code == 1 and "hive-state: error: " in told and "Traceback" not in told), (
                told
            )
        move.run("start")
        move.file.agent(f"b{time.time_ns()}")
        move.run("cancel")
        assert move.objects() == []
    move.run("start")
    move.run("switch")


def test_who_begins_is_alone(move: Move) -> None:
    """Nobody takes away what is just being made."""
    move.file.agent("a")
    with beginning.alone(str(move.file.path)) as folder:
        (folder / "store.db").touch()
        for words in ("start", "cancel"):
            told = move.run(words, exit_code=1)
            assert "another process begins to move the hive" in told.stderr
        assert (folder / "store.db").exists()
    move.run("start")


def test_poison_that_cannot_be_a_key_keeps_the_hive_where_it_is(move: Move) -> None:
    move.file.task("good")
    move.run("start")
    move.file.task(None).task(b"blob").agent(b"\xff")
    for count, deleted in ((3, "tasks WHERE rowid = 3"), (2, "tasks WHERE rowid = 2"), (1, "agents")):
        told = move.run("switch", exit_code=1)
        assert f"{count} rows of" in told.stderr
        move.file.execute(f"DELETE FROM {deleted}")
    move.run("switch")


DIES = """
import os, sys
from hive_state_core.cli import main
from hive_state_legacy import beside

beside.fill = lambda *_: os._exit(9)
main(sys.argv[1:])
"""


def test_killed_while_it_begins(move: Move) -> None:
    """`start` goes on, `cancel` takes away what there is."""
    move.file.agent("a")
    start = ["migrate", "start", "--from", move.source, "--to", move.store]
    for words in ("cancel", "start"):
        done = subprocess.run([sys.executable, "-c", DIES, *start], capture_output=True, check=False)
        assert done.returncode == 9, done.stderr
        assert move.objects()
        move.run(words)
        assert bool(move.objects()) is (words == "start")
    move.file.agent("b")
    move.run("switch")
    within(move.store, lambda hive: require_arrived(hive, [["agents", id, "idle"] for id in "ab"]))


def test_a_row_that_was_waived_stays_behind(legacy: Callable[..., File], store: str) -> None:
    move = Move(legacy().task("bad", metadata="NaN").task("good"), store, "?waive=tasks:1")
    move.run("start")
    move.run("switch")
    within(store, lambda hive: require_arrived(hive, [["tasks", "good", "pending"]]))
    before = move.rows()
    move.run("rollback")
    assert move.rows() == before


def test_poison_is_refused_before_anything_is_done(move: Move) -> None:
    move.file.task("bad", metadata="NaN")
    told = move.run("start", exit_code=1)
    assert "tasks:1 metadata: NaN is no JSON number" in told.stderr
    assert move.objects() == []
    assert [path.name for path in move.file.folder.iterdir()] == ["state_manager.db"]


def test_poison_that_comes_later_keeps_the_hive_where_it_is(move: Move) -> None:
    move.file.task("good")
    move.run("start")
    move.file.task("bad", metadata="NaN")
    told = move.run("switch", exit_code=1)
    assert "tasks:2 metadata: NaN is no JSON number" in told.stderr
    move.file.execute("DELETE FROM tasks WHERE task_id = 'bad'").task("more")
    move.run("switch")


def test_rows_that_a_replace_deletes_unseen_are_found_by_their_keys(
    legacy: Callable[..., File], store: str
) -> None:
    """SQLite puts a default where the program wrote NULL, once the triggers of BEFORE have run."""
    schema = WITH_SLOTS.replace("slot UNIQUE", "slot NOT NULL DEFAULT 5 UNIQUE")
    move = Move(legacy(schema).agent("a"), store)
    move.run("start")
    columns = "(agent_id, slot, status, last_activity)"
    move.file.execute(f"INSERT OR REPLACE INTO agents {columns} VALUES ('b', NULL, 'idle', '2025-03-01')")
    move.run("switch")
    within(store, lambda hive: require_arrived(hive, [["agents", "b", "idle"]]))


def test_a_table_that_was_made_anew_keeps_the_hive_where_it_is(move: Move) -> None:
    move.file.agent("a")
    move.run("start")
    move.file.execute("CREATE UNIQUE INDEX late ON agents (status)")
    told = move.run("switch", exit_code=1)
    assert "may not have been noted; give the move up by `hive-state migrate cancel`" in told.stderr
    move.file.agent("b", status="working")
    move.run("cancel")
    move.run("start")
    move.run("switch")
    within(
        move.store, lambda hive: require_arrived(hive, [["agents", "a", "idle"], ["agents", "b", "working"]])
    )


def test_a_clean_up_of_old_checkpoints_goes_over(move: Move) -> None:
    for name in "abab":
        move.file.checkpoint(name)
    move.run("start")
    move.file.execute("DELETE FROM checkpoints WHERE id IN (1, 4)").execute(
        "DELETE FROM checkpoints WHERE id = 2"
    )
    move.run("switch")

    async def look(hive: Store) -> None:
        kept = {
            name: [each.metadata["legacy_id"] async for each in hive.checkpoints.list(name)] for name in "ab"
        }
        assert kept == {"a": [3], "b": []}

    within(move.store, look)


def test_a_seal_that_is_given_up_lets_the_original_go_on(move: Move) -> None:
    move.file.agent("a")
    move.run("start")

    async def seal(hive: Store) -> None:
        port = hive.replication()
        sealed = await change(port, ControlState.SEALED)
        with pytest.raises(sqlite3.IntegrityError, match="for a moment"):
            await asyncio.to_thread(move.file.agent, "b")
        assert sealed.state is ControlState.SEALED
        await change(port, ControlState.OPEN)
        await asyncio.to_thread(move.file.agent, "b")

    within(move.source, seal)


@pytest.mark.parametrize("step", ["switch", "rollback"])
def test_killed_before_the_file_was_committed(move: Move, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row says one thing, the fence another: whoever comes next makes them agree, and loses nothing."""
    move.file.agent("a")
    move.run("start")
    if step == "rollback":
        move.run("switch")
        within(move.store, lambda hive: hive.agents.update("a", status="moved"))
    settle, commit, settled = rounds.Rounds.settle, beside.File.commit, []

    async def settles(self: rounds.Rounds, row: Control) -> None:
        await settle(self, row)
        settled.append(row)

    def dies(file: beside.File) -> None:
        if settled:
            raise Unavailable("killed")
        commit(file)

    with monkeypatch.context() as patched:
        patched.setattr(beside.File, "commit", dies)
        patched.setattr(rounds.Rounds, "settle", settles)
        patched.setattr(beside.Beside, "start", lambda _: None)
        assert move.run(step, exit_code=5)

    async def go_on(hive: Store) -> None:
        port = hive.replication()
        if (await port.control()).state is ControlState.SEALED:
            await change(port, ControlState.OPEN)
        while True:
            with suppress(sqlite3.IntegrityError):
                await asyncio.to_thread(move.file.agent, "later")
                return
            await asyncio.sleep(0.05)

    within(move.source, go_on)
    wanted = "moved" if step == "rollback" else "idle"
    assert {row[:2] for row in move.rows()["agents"]} == {("a", wanted), ("later", "idle")}


async def work_elsewhere(hive: Store) -> None:
    await hive.agents.update("changed", status="moved")
    await hive.agents.remove("removed")
    await hive.agents.register("new")
    await hive.tasks.cancel("done")
    await hive.tasks.enqueue("tasks", {"new": 1})
    await hive.tasks.enqueue("elsewhere", {})
    for n in range(5):
        await hive.checkpoints.save("longer", n)
    await hive.checkpoints.save("trimmed", 5)
    await hive.checkpoints.prune("trimmed", keep=2)
    await hive.checkpoints.delete("dropped")
    await hive.checkpoints.snapshot({"total_agents": 3})
    await hive.checkpoints.prune_snapshots(keep=2)
    await hive.records.put("others", "x", 1)


def require_written_back(move: Move) -> None:
    rows = move.rows()
    assert sorted(row[:2] for row in rows["agents"]) == [
        ("changed", "moved"),
        ("kept", "idle"),
        ("new", "idle"),
    ]
    tasks = [(status, payload) for _, status, *_, payload in rows["tasks"]]
    assert tasks == [("pending", '{"n": 1}'), ("failed", "{}"), ("pending", '{"new": 1}')]
    saved = [(name, data) for _, name, _, data in rows["checkpoints"]]
    longer = [("longer", data) for data in ("7", "8", "0", "1", "2", "3", "4")]
    assert sorted(saved) == sorted([*longer, ("trimmed", "8"), ("trimmed", "5")])
    assert [name for name in saved if name[0] == "longer"] == longer
    assert [(row[0], row[2]) for row in rows["system_snapshots"]] == [(2, 2), (3, 3)]


@pytest.fixture
def left(move: Move) -> Move:
    """A hive that has moved, and was changed since."""
    for id in ("kept", "changed", "removed"):
        move.file.agent(id)
    move.file.task("kept", metadata='{"n": 1}').task("done")
    for data in ("7", "8"):
        for name in ("longer", "trimmed", "dropped"):
            move.file.checkpoint(name, data)
    move.file.snapshot(total_agents=1).snapshot(total_agents=2)
    move.run("start")
    move.run("switch")
    within(move.store, work_elsewhere)
    return move


async def nothing(_: object) -> None:
    pass


@pytest.mark.parametrize("ahead", [True, False], ids=["ahead", "at the end"])
def test_nothing_is_looked_at_but_what_was_changed(
    left: Move, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nobody waits the longer, the longer the tables are."""
    monkeypatch.setattr(beside, "PAGE", 3)
    monkeypatch.setattr(returning, "LOOKED", 2)
    monkeypatch.delattr(source.Source, "items_of")
    if not ahead:
        monkeypatch.setattr(beside.Beside, "warm", nothing)
    left.run("rollback")
    require_written_back(left)
    left.file.agent("later")
    left.run("advance")

    async def look(hive: Store) -> None:
        """What was noted for the way back is gone."""
        ours = hive._driver._beside.port  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            while rounds.OWED in await ours.notes():  # this goes last
                await asyncio.sleep(0.02)
        assert returning.TRIMMED not in await ours.notes()
        assert returning.BACK not in (await ours.control()).sinks

    within(left.source, look)


@pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
def test_killed_around_the_commit_of_what_is_written_ahead(
    left: Move, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written once: what is marked still is looked at again."""
    write, commit, written = returning.Returning.write_page, beside.File.commit, []

    async def writes(self: returning.Returning, limit: int) -> returning.Page:
        written.append(limit)
        return await write(self, limit)

    def dies(file: beside.File) -> None:
        if written and not committed:
            raise Unavailable("killed")
        commit(file)
        if written:
            raise Unavailable("killed")

    with monkeypatch.context() as patched:
        patched.setattr(returning.Returning, "write_page", writes)
        patched.setattr(beside.File, "commit", dies)
        left.run("rollback", exit_code=5)
    assert written
    with pytest.raises(sqlite3.IntegrityError, match="this hive has moved"):
        left.file.agent("b")
    left.run("rollback")
    require_written_back(left)


def test_a_history_that_loses_more_before_the_marks_are_cleared_is_compared_again(move: Move) -> None:
    ref = checkpoint_ref("c")
    for _ in range(3):
        move.file.checkpoint("c")
    move.run("start")
    move.run("switch")

    async def trim(hive: Store) -> None:
        port, ours = hive.replication(), hive._driver._beside  # type: ignore[attr-defined]
        (head,) = await port.images([ref])
        assert isinstance(head, StreamImage)
        await port.load([replace(head, first=2, version=head.version + 1)])
        async with ours._rounds.transaction():
            page = await ours._rounds.write_ahead(await port.control(), 100)
        await port.load([replace(head, first=3, version=head.version + 2)])
        await ours._rounds.returning.clear(page)
        assert len(await ours.port.marks(returning.BACK, 100)) == 1
        await ours.warm()
        assert not await ours.port.marks(returning.BACK, 100)

    within(move.source, trim)
    assert [id for id, *_ in move.rows()["checkpoints"]] == [3]


async def change(port: Replication, state: ControlState) -> Control:
    row = await port.control()
    return await port.control(row.epoch, replace(row, state=state, term=row.term + 1))


HYBRID = """
[stores.durable]
url = "{}"
[stores.fast]
url = "{}"
[stores.prod]
backend = "hybrid"
durable = "durable"
fast = "fast"
"""


def to_a_hybrid_and_back(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by a configuration, as it is made of two."""
    monkeypatch.chdir(move.file.folder.parent)
    with postgres_server() as durable, valkey_server(fsync="never written") as fast:
        Path("hive-state.toml").write_text(HYBRID.format(durable.url, fast.url))
        move = Move(move.file, "prod")
        with Program(move.file, "one") as one:
            one.works()
            move.run("start", "--accept-durability")
            one.works()
            move.run("switch")
            one.works(10)
        done = [line for line in one.said() if line[0] != "refused"]
        within(move.store, lambda hive: require_arrived(hive, done))
        changed = next(iter(expected(done)["agents"]))
        within(move.store, lambda hive: hive.agents.update(changed, status="moved"))
        move.run("rollback")
        assert [status for id, status, *_ in move.rows()["agents"] if id == changed] == ["moved"]
        with Program(move.file, "two") as two:
            two.works()
            move.run("advance")
            move.run("switch")
        assert [line for line in two.said()[:30] if line[0] == "refused"] == []
        move.run("complete", "--yes")


if ALL:

    def test_to_postgresql_while_those_are_killed_who_bring_it_over(legacy: Callable[..., File]) -> None:
        with postgres_server() as server, Program(legacy(), "one") as one:
            move = Move(one.file, server.url)
            one.works()
            move.run("start")
            command = [sys.executable, "-m", "hive_state_core.cli", "migrate", "run", "--from", move.source]
            for _ in range(5):
                worker = subprocess.Popen([*command, "--to", move.store], stdout=PIPE, stderr=PIPE)
                one.works()
                worker.kill()
                worker.communicate()
            move.run("switch")
            one.works(10)
            done = [line for line in one.said() if line[0] != "refused"]
            within(move.store, lambda hive: require_arrived(hive, done))

    def test_to_a_hybrid_and_back(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
        to_a_hybrid_and_back(move, monkeypatch)
