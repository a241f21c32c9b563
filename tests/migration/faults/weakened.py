"""Weakenings of the protocol, for processes of their own: the model finds each, and so must a drill.

Those of `WEAKENINGS` that have the name of one of the model's rules (`tests/models/states.py`) are that rule
turned over, in the code as it is built.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from hive_state_core import control, open_store
from hive_state_core.control import require_open
from hive_state_core.migration import crossing, live, pumping
from hive_state_core.migration.phases import Phase, change_job
from hive_state_core.spi import PEER, ControlState
from hive_state_postgres.statements import Statements
from hive_state_sqlite import alone, controlling, known, loading, statements, trip
from hive_state_sqlite.driver import SqliteDriver


def expects_nothing() -> None:
    """A load takes no notice of the control row that was expected."""
    loading.require_same = lambda *_: None  # type: ignore[assignment]


def load_if_newer() -> None:
    """An image is written whatever is there."""
    for kind, statement in loading._LOAD.items():
        loading._LOAD[kind] = statement.partition("\nWHERE excluded.version")[0]


def tombstones() -> None:
    """A delete that is loaded leaves nothing behind, and who sent it does not look for it there."""
    load = loading.load

    def forgetful(db: sqlite3.Connection, ns: int, images: Sequence[Any], *rest: Any) -> int:
        loaded = load(db, ns, images, *rest)
        db.execute("DELETE FROM records WHERE ns = ? AND value IS NULL", (ns,))
        return loaded

    async def unread(*_: Any) -> None:
        return

    loading.load = forgetful
    pumping.Pump._read_back = unread  # type: ignore[method-assign]


def fence_in_write() -> None:
    """The control row is read before the transaction that it lets in."""
    commit = SqliteDriver.commit

    async def checked_before(self: SqliteDriver, *arguments: Any) -> Any:
        row = await self.control()
        require_open(row.state, row.peer)
        return await commit(self, *arguments)

    SqliteDriver.commit = checked_before  # type: ignore[method-assign]
    control_in_store()


def control_in_store() -> None:
    """A process writes to the store that its configuration names, whatever the control row says."""
    trip.require_open = lambda *_: None  # type: ignore[assignment]


def marks() -> None:
    """What is written is sent once, by who wrote it, and nothing remembers that it has to be."""
    prepare, commit = alone.prepare, SqliteDriver.commit

    def without_marks(db: sqlite3.Connection) -> None:
        prepare(db)
        for event in ("INSERT", "UPDATE"):
            db.execute(
                f"CREATE TEMP TRIGGER forgets_{event} AFTER {event} ON main.marks"
                " BEGIN DELETE FROM marks WHERE ns = new.ns AND name = new.name AND part = new.part; END"
            )

    async def sent_once(self: SqliteDriver, batches: Sequence[Any], trip_id: str) -> Any:
        reply = await commit(self, batches, trip_id)
        images = await self.images([op.ref for batch in batches for op in batch.ops])
        async with open_store("prod", janitor=False, follow=False) as there:
            await there.replication().load([image for image in images if image is not None])
        return reply

    alone.prepare = without_marks
    SqliteDriver.commit = sent_once  # type: ignore[method-assign]


def clear_by_version() -> None:
    """A mark is cleared whatever its version is by now."""
    clear = SqliteDriver.clear

    async def by_key(self: SqliteDriver, sink: str, marks: Sequence[Any]) -> int:
        there = {mark.ref: mark.version for mark in await self.marks(sink, 10_000)}
        return await clear(
            self, sink, [replace(mark, version=there.get(mark.ref, mark.version)) for mark in marks]
        )

    SqliteDriver.clear = by_key  # type: ignore[method-assign]


def seal_then_drain() -> None:
    """What is marked is sent before the seal alone, and the store is left whatever is marked by then."""

    async def nothing(_: pumping.Pump) -> int:
        return 0

    crossing._drain = nothing
    _leaves_undelivered()


def open_unsynced() -> None:
    """The store is left once the first of what is marked was sent."""

    async def one(pump: pumping.Pump) -> int:
        return await pump.round(1)

    crossing._drain = one
    _leaves_undelivered()


def _leaves_undelivered() -> None:
    """A store lets itself be left although something is marked."""

    def changed(old: Any, expect: int, change: Any, **about: Any) -> Any:
        return control.changed(old, expect, change, **{**about, "undelivered": False})

    controlling.changed = changed


def decide() -> None:
    """The store is left whatever its control row is by now."""

    def changed(old: Any, expect: int, change: Any, **about: Any) -> Any:
        if change.state is not ControlState.MOVED:
            return control.changed(old, expect, change, **about)
        return replace(change, store_id=old.store_id, epoch=old.epoch + 1, version=old.version)

    controlling.changed = changed


def terms() -> None:
    """A store counts its versions on its own."""
    known.Known.version = property(lambda self: self.counter)  # type: ignore[assignment]


def exclusive_fence() -> None:
    """The control row is changed beside writers that have read the old one. On PostgreSQL: SQLite has one
    lock for all who write, and a change of the row takes that."""
    named = Statements.named

    def without_lock(self: Statements, name: str) -> str:
        return "SELECT $1::int" if name == "control_lock" else named(self, name)

    Statements.named = without_lock  # type: ignore[method-assign]


def start_under_fence() -> None:
    """Where the copy has to end is read before what changes is marked."""
    prepare = live.Live.prepare
    seen: list[int] = []

    async def looking(self: live.Live, **knobs: Any) -> Any:
        seen.append((await self.source.control()).version + 1)
        return await prepare(self, **knobs)

    async def capture(self: live.Live) -> Any:
        job, row = await live.read_job(self.source), await self.source.control()
        await self.source.control(row.epoch, replace(row, peer=self.names[1], sinks=row.sinks | {PEER}))
        assert job is not None
        return await change_job(self.source, job, phase=Phase.DUAL, start=seen[0])

    live.Live.prepare = looking  # type: ignore[method-assign]
    live.Live.capture = capture  # type: ignore[method-assign]


def sweep_tombstones() -> None:
    """Tombstones are swept while the other store may still get older images, and in a standby too."""
    statements.SWEEP_TOMBSTONES = (
        "DELETE FROM records WHERE ns = ?1 AND value IS NULL AND updated_at <= ?2 AND ?3"
    )
    control_in_store()


WEAKENINGS: dict[str, Callable[[], None]] = {
    weakening.__name__: weakening
    for weakening in (
        load_if_newer,
        tombstones,
        fence_in_write,
        marks,
        clear_by_version,
        seal_then_drain,
        decide,
        terms,
        control_in_store,
        exclusive_fence,
        start_under_fence,
        sweep_tombstones,
        open_unsynced,
        expects_nothing,
    )
}
