"""Each rule of the cache protocol turned over in the code that runs: the flags of `Rules` in `tests.models`.

What the server does is weakened in its scripts, the rest in the driver's methods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from math import inf
from time import monotonic
from typing import Any

import pytest

from hive_state_core.caching import Asked, Beat, Entry
from hive_state_core.errors import HiveStateError
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import CACHE, Mark, Replication
from hive_state_hybrid import near
from hive_state_hybrid.board import ANSWERS, CUT_OFF
from hive_state_hybrid.driver import HybridDriver
from hive_state_hybrid.fencing import Fence
from hive_state_hybrid.front import Front
from hive_state_hybrid.near import Near
from hive_state_hybrid.relay import Relay
from hive_state_hybrid.seen import Seen
from hive_state_memory.driver import MemoryDriver
from hive_state_postgres.driver import PostgresDriver
from hive_state_redis import caching
from hive_state_redis.caching import RedisCache
from hive_state_redis.connecting import Script

Weaken = Callable[[pytest.MonkeyPatch], None]

HOLDS = "leased and name ~= '' and string.sub(there, 30) == name"
"""That who pushes has the lease, in the script."""


def in_script(name: str, rule: str, instead: str) -> Weaken:
    """The server's script of this name (or all, "") without the rule that stands there as it is given."""

    def weaken(patch: pytest.MonkeyPatch) -> None:
        script = caching._script.__wrapped__

        @cache
        def weakened(which: str) -> Script:
            source = script(which).source
            if which == "cache_lead" or (name and which != name):
                return Script(source)
            assert rule in source
            return Script(source.replace(rule, instead))

        patch.setattr(caching, "_script", weakened)

    return weaken


def in_method(of: type, name: str, weakened: Callable[..., Any]) -> Weaken:
    """`weakened` in place of the method, which it is given as its first argument."""

    def weaken(patch: pytest.MonkeyPatch) -> None:
        method = getattr(of, name)

        def instead(self: Any, *args: Any, **kwargs: Any) -> Any:
            return weakened(method, self, *args, **kwargs)

        patch.setattr(of, name, instead)

    return weaken


def in_store(name: str, weakened: Callable[..., Any]) -> Weaken:
    """`in_method` of each durable store that these tests have."""

    def weaken(patch: pytest.MonkeyPatch) -> None:
        for driver in (MemoryDriver, PostgresDriver):
            in_method(driver, name, weakened)(patch)

    return weaken


def nothing(_method: object, *_args: object, **_kwargs: object) -> None:
    pass


async def nothing_async(_method: object, *_args: object, **_kwargs: object) -> None:
    pass


# --- the relay


async def fills_in(_drop: object, relay: Relay) -> None:
    marks = await relay._port.marks(CACHE, 1000)
    images = await relay._port.images([mark.ref for mark in marks])
    found = [image for image in images if isinstance(image, RecordImage)]
    await relay._front.push([Entry(image.ref, image.version, image, None, "relay") for image in found])
    await relay._port.clear(CACHE, marks)


def relay_fills(patch: pytest.MonkeyPatch) -> None:
    in_method(Relay, "_drop_marked", fills_in)(patch)
    in_script("cache_push", HOLDS, f"stamp and not entry and (name == 'relay' or {HOLDS})")(patch)


async def no_marks(*_: object) -> list[Mark]:
    return []


async def clears_all(clear: Any, store: Replication, sink: str, marks: Sequence[Mark]) -> int:
    return int(await clear(store, sink, await store.marks(sink, 1000)))


async def beats_from_now(beats: Any, cache: RedisCache, beat: Beat) -> None:
    now = await cache.now()
    await beats(cache, Beat(beat.epoch, now, now + beat.until - beat.began))


async def always(*_: object) -> bool:
    return True


def fences_last(patch: pytest.MonkeyPatch) -> None:
    drop = Relay._drop_marked

    async def drops_first(may_answer: Any, relay: Relay) -> bool:
        await drop(relay)
        return bool(await may_answer(relay))

    in_method(Relay, "_may_answer", drops_first)(patch)
    in_method(Relay, "_drop_marked", nothing_async)(patch)


async def silent(_may: object, relay: Relay) -> bool:
    return not any(name.startswith(CUT_OFF) for name in await relay._port.notes())


async def says_it_last(_may: object, relay: Relay) -> bool:
    if not await silent(_may, relay):
        return False
    await relay._port.note({ANSWERS: b"%d" % (relay._beat * 1000)})
    return True


# --- Stores that are cut off


async def told_at_once(method: Any, driver: HybridDriver, *args: Any, **kwargs: Any) -> Any:
    fence = driver._front.fence
    assert fence is not None
    fence.stand = always  # type: ignore[method-assign,assignment]
    try:
        return await method(driver, *args, **kwargs)
    finally:
        del fence.stand


async def off_before_it_waits(_turn_off: object, fence: Fence, noted: float) -> None:
    answers = (await fence._port.notes()).get(ANSWERS)
    await fence._port.note({ANSWERS: None})
    if answers is not None:
        await asyncio.sleep(noted + int(answers) / 1000 - monotonic())


async def unfenced_first(_stand: object, fence: Fence) -> None:
    fence._said = None
    while await fence._lost():
        fence._said = None
    await fence._remove()
    await asyncio.sleep(0.1)
    fence._until, fence.stands, fence._task = 0.0, False, None
    fence._settled.set()


# --- what a Store remembers


async def to_itself(saw: Any, front: Front, entries: Sequence[Entry]) -> None:
    await saw(front, [entry for entry in entries if entry.lease])


async def as_if_pushed(push: Any, front: Front, entries: Sequence[Entry]) -> None:
    try:
        await push(front, entries)
    except HiveStateError:
        front.doubt()


def owes_nothing(_least: object, _front: Front, refs: Sequence[RecordRef]) -> list[int]:
    return [0] * len(refs)


class _WhenItComes(list[int]):
    def __init__(self, front: Front, refs: Sequence[RecordRef]) -> None:
        super().__init__([0] * len(refs))
        self.of = front, refs

    def __getitem__(self, place: Any) -> Any:
        front, refs = self.of
        return front.owed(refs[place])


def looks_up_late(_least: object, front: Front, refs: Sequence[RecordRef]) -> list[int]:
    return _WhenItComes(front, refs)


def keeps_older(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(near, "_outdone", lambda *_: False)


def from_now(_until: object, near: Near, *_: object) -> float:
    return monotonic() + near._span


def for_years(*_: object) -> float:
    return monotonic() + 1e9


def when_asked(_latest_at: object, _front: Front, _asked: Asked, sent: float) -> float:
    return sent


def always_open(keep: Any, near: Near, *args: Any) -> None:
    near._closed = -inf
    keep(near, *args)


WEAKENINGS: dict[str, Weaken] = {
    "guarded": in_script("cache_push", "string.sub(there, 29, 44) < version then", "true then"),
    "replaces_only": in_script("cache_push", "(entry or fills)", "true"),
    "write_voids": in_script("cache_push", "gone[#gone + 1] = KEYS[i + 1]", ""),
    "fill_needs_lease": in_script("cache_push", HOLDS, "stamp and not entry and name ~= ''"),
    "readers_push": in_method(Front, "saw", to_itself),
    "relay_drops": relay_fills,
    "marks": in_store("marks", no_marks),
    "clears_by_version": in_store("clear", clears_all),
    "settles_pushed": in_method(Front, "push", as_if_pushed),
    "beats_drained": in_method(Relay, "_drop_marked", nothing_async),
    "beats_from_before": in_method(RedisCache, "beat", beats_from_now),
    "write_waits": in_method(HybridDriver, "_wrote", told_at_once),
    "read_waits": in_method(HybridDriver, "fetch", told_at_once),
    "fence_heard": in_method(Relay, "_may_answer", always),
    "fences_first": fences_last,
    "announces": in_method(Relay, "_may_answer", silent),
    "announces_first": in_method(Relay, "_may_answer", says_it_last),
    "off_when_waited": in_method(Fence, "_turn_off", off_before_it_waits),
    "pushes_unfenced": in_method(Fence, "_stand", unfenced_first),
    "run_checked": in_script(
        "", "string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')", "'run without end'"
    ),
    "owes": in_method(Front, "_least", owes_nothing),
    "owed_when_asked": in_method(Front, "_least", looks_up_late),
    "doubts": in_method(Front, "doubt", nothing),
    "remembers": in_method(Seen, "add", nothing),
    "near_guarded": keeps_older,
    "near_yields": in_method(Near, "wrote", nothing),
    "near_from_before": in_method(Near, "until", from_now),
    "near_from_beat": in_method(Front, "_latest_at", when_asked),
    "near_ends": in_method(Near, "until", for_years),
    "near_closes": in_method(Near, "keep", always_open),
}
