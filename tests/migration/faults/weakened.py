"""Weakenings of the protocol, for a process of their own: the model finds each, and so must a drill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from hive_state_core import control
from hive_state_core.migration import crossing, pumping
from hive_state_core.spi import ControlState
from hive_state_sqlite import controlling, loading
from hive_state_sqlite.driver import SqliteDriver


def expects_nothing() -> None:
    """A load takes no notice of the control row that was expected."""
    loading.require_same = lambda *_: None  # type: ignore[assignment]


def decides_blindly() -> None:
    """The store is left whatever its control row is by now."""

    def changed(old: Any, expect: int, change: Any, **about: Any) -> Any:
        if change.state is not ControlState.MOVED:
            return control.changed(old, expect, change, **about)
        return replace(change, store_id=old.store_id, epoch=old.epoch + 1, version=old.version)

    controlling.changed = changed


def clears_by_key() -> None:
    """A mark is cleared whatever its version is by now."""
    clear = SqliteDriver.clear

    async def by_key(self: SqliteDriver, sink: str, marks: Sequence[Any]) -> int:
        there = {mark.ref: mark.version for mark in await self.marks(sink, 10_000)}
        return await clear(
            self, sink, [replace(mark, version=there.get(mark.ref, mark.version)) for mark in marks]
        )

    SqliteDriver.clear = by_key  # type: ignore[method-assign]


def drains_before_the_seal() -> None:
    """What is marked is sent before the seal alone, and the store is left whatever is marked by then."""

    async def nothing(_: pumping.Pump) -> int:
        return 0

    def changed(old: Any, expect: int, change: Any, **about: Any) -> Any:
        return control.changed(old, expect, change, **{**about, "undelivered": False})

    crossing._drain = nothing
    controlling.changed = changed


WEAKENINGS: dict[str, Callable[[], None]] = {
    weakening.__name__: weakening
    for weakening in (expects_nothing, decides_blindly, clears_by_key, drains_before_the_seal)
}
