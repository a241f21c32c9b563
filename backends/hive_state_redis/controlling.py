"""The control row, the marks of its sinks, the notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from hive_state_core.control import changed, term_of
from hive_state_core.spi import Control, Mark, Notes
from hive_state_redis.caller import Caller
from hive_state_redis.keys import load_head
from hive_state_redis.naming import place_of, ref_at

_encode = msgspec.msgpack.Encoder().encode


class _Found(NamedTuple):
    done: bool
    control: Control
    empty: bool
    undelivered: bool


async def _ask(caller: Caller, change: bytes | str) -> _Found:
    done, entry, empty, undelivered = await caller.write("control", change)
    return _Found(bool(done), load_head(entry).control, bool(empty), bool(undelivered))


async def read_control(caller: Caller) -> Control:
    return load_head(await caller.link.call("GET", caller.keys.head, reads=True)).control


async def change_control(caller: Caller, expect: int, change: Control) -> Control:
    """It is decided here what is allowed, and there whether all is still as it was when this was decided."""
    found = await _ask(caller, "read")
    while True:
        old = found.control
        new = changed(old, expect, change, empty=found.empty, undelivered=found.undelivered)
        seen = (old.epoch, found.empty, found.undelivered, term_of(old.version))
        wanted = (new.peer, new.state.value, new.term, sorted(new.sinks))
        found = await _ask(caller, _encode((*seen, *wanted)))
        if found.done:
            return found.control


# -- marks


async def marks(caller: Caller, sink: str, limit: int) -> list[Mark]:
    """Lowest version first: that is what they are sorted by."""
    found = await caller.link.call("ZRANGE", caller.keys.marks(sink), 0, limit - 1, "WITHSCORES", reads=True)
    return [
        Mark(sink, ref_at(place), int(version))
        for place, version in zip(found[::2], found[1::2], strict=True)
    ]


async def clear(caller: Caller, sink: str, done: Sequence[Mark]) -> int:
    """How many were still the same."""
    named = [(place_of(mark.ref), mark.version) for mark in done]
    return int(await caller.write("clear", sink, _encode(named)))


# -- notes


async def read_notes(caller: Caller) -> dict[str, bytes]:
    flat = await caller.link.call("HGETALL", caller.keys.notes, reads=True)
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


async def note(caller: Caller, changes: Notes, expect: Notes) -> bool:
    """Write them if all of `expect` is so."""
    values: list[bytes] = []
    plan = [placed(each, values, fixed=1) for each in (changes, expect)]
    return bool(await caller.write("note", _encode(plan), *values))


def placed(notes: Mapping[str, bytes | None], values: list[bytes], fixed: int) -> list[Any]:
    """Names, and the places of their values among the arguments, of which `fixed` come before; 0: none."""
    flat: list[Any] = []
    for name, value in notes.items():
        if value is not None:
            values.append(value)
        flat += (name, 0 if value is None else fixed + len(values))
    return flat
