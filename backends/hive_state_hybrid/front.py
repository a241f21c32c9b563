"""The cache as one Store uses it: what may be told of what it says, and what it has to be told.

The rules are those of `tests/models/cache_states.py`, and named as there:

- *owed*: the version of a record that was written or seen here, and is not known to have reached the cache;
  what is older than it was when it was asked is not told;
- *doubt*: a push failed. Nothing that the cache says is told until a beat that began after the failure;
- *fence* (see `fencing.py`): at linearizable, in place of doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from hive_state_core.caching import KEPT_MS, Asked, Beat, Cache, Entry, Hit
from hive_state_core.errors import HiveStateError
from hive_state_core.features import Consistency
from hive_state_core.limits import VERSION_MAX
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import MISSED, Missed, Reply
from hive_state_hybrid.breaker import Breaker
from hive_state_hybrid.near import Near
from hive_state_hybrid.seen import Seen
from hive_state_hybrid.told import Told
from hive_state_hybrid.worth import Worth

if TYPE_CHECKING:
    from hive_state_hybrid.fencing import Fence
    from hive_state_hybrid.options import Options

PUSHED_AT_ONCE = 500
"""Entries of one push."""

REST = 0.02
"""Seconds between two pushes for which nobody waits, so that what is written meanwhile goes together."""

TTL_MARGIN = 0.999
"""Of what is left of a TTL: two clocks need not run equally fast."""


class _Instant(NamedTuple):
    """An instant of another clock, and when it was heard, by the monotonic one of this process."""

    at: int
    heard: float

    def least(self, now: float) -> int:
        """The other clock shows this or more."""
        return self.at + int((now - self.heard) * 1000)


class _Heard(NamedTuple):
    """What the cache had, and what it gave the lease of."""

    epoch: int
    found: list[RecordImage | Missed | None]
    leased: list[RecordRef]


class Front:
    """Of one Store; `fence` is given at linearizable."""

    def __init__(self, cache: Cache, options: Options) -> None:
        self.cache = cache
        self.store_id = ""
        self.breaker = Breaker(options.cache_timeout)
        self.near = Near(options.near_size, options.near_span)
        self.told = Told()
        bounded = options.consistency is Consistency.BOUNDED
        self.seen = Seen(options.max_staleness) if bounded else None
        self.worth = Worth(given_up=bounded)
        self.fence: Fence | None = None
        self.hits: int = 0
        self.misses: int = 0
        self.ahead: int = 0
        """Records that the cache had, and that were asked for ahead (see `ahead.py`)."""
        self._ttl = int(options.cache_ttl * 1000)
        self._gated = options.consistency is not Consistency.SESSION
        self._doubts = 0  # failures so far
        self._trusted = 0  # of them those that a later beat has settled
        self._doubted_at: int | None = None  # instant of the cache at which the last one was surely over
        self._leases: dict[RecordRef, str] = {}
        self._asks = 0
        self._clock: _Instant | None = None  # of the cache
        self._durable: _Instant | None = None
        self._queue: dict[RecordRef, Entry] = {}  # to be pushed
        self._pushing: dict[RecordRef, Entry] = {}  # those that are under way
        self._trips: list[int] = []  # whose entries are in the queue
        self._pusher: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._pusher is not None:
            await asyncio.wait({self._pusher})
        await self.cache.close()

    async def reach(self) -> None:
        """Connect to the cache, if that is not done. Raises HiveStateError."""
        await self.breaker.call(lambda: self.cache.open(self.store_id))

    async def ping(self) -> None:
        """Raises HiveStateError."""
        await self.breaker.call(lambda: self.cache.ask((), "", True))

    # -- asking

    async def recall(self, refs: Sequence[RecordRef], own: str) -> Reply[RecordImage | Missed | None]:
        """What the cache has. `own` is a name that nobody else has."""
        told = await self.ask(refs, own)
        if told is None:
            self.misses += len(refs)
            return Reply(0, 0, [MISSED] * len(refs))
        self._count(told.found)
        return Reply(told.epoch, self._durable_at(told.found), told.found)

    async def ask(self, refs: Sequence[RecordRef], own: str) -> _Heard | None:
        """`recall`, for nobody; None: the cache cannot be asked."""
        if self.fence is not None and self.fence.stands:
            return None
        sent, doubts, sure = monotonic(), self._doubts, self._trusted == self._doubts
        owed = self._least(refs)
        self._asks += 1
        lease = f"{own}-{self._asks}"
        try:
            asked = await self.breaker.call(lambda: self.cache.ask(refs, lease, self._gated))
        except HiveStateError:
            return None
        self._clock = _Instant(asked.at, monotonic())
        told = _Heard(asked.beat.epoch if asked.beat else 0, [MISSED] * len(refs), [])
        trusted, latest = sure or self._trusts(asked, doubts), self._latest_at(asked, sent)
        for place, (ref, found) in enumerate(zip(refs, asked.found, strict=True)):
            if found is True:
                self._leases[ref] = lease
                told.leased.append(ref)
            elif isinstance(found, Hit) and trusted and found.image.version >= owed[place]:
                told.found[place] = found.image if found.image.value is not None else None
                self.near.keep(found.image, sent, latest, found.left)
        return told

    def _latest_at(self, asked: Asked, sent: float) -> float:
        """An instant, of our clock, at which what was asked for at `sent` was the latest: at bounded when the
        beat began. There is no such bound at session, and nothing is told from memory at linearizable."""
        if self.seen is None or asked.beat is None:
            return sent
        return sent - max(0, asked.at - asked.beat.began + 1) / 1000

    def _least(self, refs: Sequence[RecordRef]) -> list[int]:
        """The versions below which nothing is told."""
        owed = [self.owed(ref) for ref in refs]
        if self.seen is None:
            return owed
        self.seen.turn()
        return [max(version, self.seen.least(ref)) for ref, version in zip(refs, owed, strict=True)]

    def owed(self, ref: RecordRef) -> int:
        """The version of it that is not known to have reached the cache; 0: none."""
        told = (self._queue.get(ref), self._pushing.get(ref))
        return max([entry.version or VERSION_MAX for entry in told if entry is not None], default=0)

    def _count(self, found: Sequence[RecordImage | Missed | None]) -> None:
        missed = sum(1 for each in found if each is MISSED)
        self.misses += missed
        self.hits += len(found) - missed
        self.worth.count(len(found) - missed, missed, self.near.hits)

    def _trusts(self, asked: Asked, doubts: int) -> bool:
        """Whether what was asked after so many failures, before a beat had settled them, may be told. Others
        that were asked later may have been answered before."""
        if doubts != self._doubts:
            return False  # another one since then
        if self._doubted_at is None:
            self._doubted_at = asked.at
        if asked.beat is None or asked.beat.began <= self._doubted_at:
            return False
        self._trusted = doubts
        return True

    def _durable_at(self, found: Iterable[RecordImage | Missed | None]) -> int:
        """The instant of the durable store, or an earlier one, but not before what is told was written."""
        least = self._durable.least(monotonic()) if self._durable else 0
        return max([least, *(each.updated_at for each in found if isinstance(each, RecordImage))])

    # -- telling

    def keep(self, image: RecordImage, at: int, sent: float) -> None:
        """At hand, as the durable store had it at its instant `at`, which came after `sent`."""
        self.near.keep(image, sent, sent, None if image.expires_at is None else image.expires_at - at)

    def heard(self, at: int) -> None:
        """The durable store's instant, in a reply that has just come."""
        self._durable = _Instant(at, monotonic())

    def until(self, expires_at: int | None, at: int, sent: float) -> int | None:
        """When a record expires that was asked for at `sent` and read at the instant `at`, on the cache's
        clock or a little earlier; -1 if that is not known."""
        if expires_at is None:
            return None
        if self._clock is None:
            return -1
        return self._clock.least(sent) + int((expires_at - at) * TTL_MARGIN)

    def entry(self, image: RecordImage, at: int, sent: float, leased: bool = False) -> Entry:
        """An image as the cache is told of it."""
        until = self._kept_until(self.until(image.expires_at, at, sent), sent)
        lease = self._leases.pop(image.ref, "") if leased else ""
        return Entry(image.ref, image.version, None if until == -1 else image, until, lease)

    def _kept_until(self, until: int | None, sent: float) -> int | None:
        """No longer than `cache_ttl`, if that is shorter than the cache's own bound."""
        if self._clock is None or self._ttl >= KEPT_MS:
            return until
        most = self._clock.least(sent) + self._ttl
        return most if until is None else min(until, most)

    def unknown(self, ref: RecordRef) -> Entry:
        """There is no such record, and nobody knows since when."""
        self._leases.pop(ref, None)
        return Entry(ref, 0)

    async def tell(self, entries: Sequence[Entry], trips: Collection[int] = ()) -> None:
        """That these are the versions now. At linearizable it returns when nobody is told less any more; else
        at once, and this Store is told no less. `trips`: the entries are all that these have written."""
        if not entries:
            return
        if self.fence is not None:
            await self._confirm(self.fence, entries, trips)
            return
        self._owe(entries, trips)

    async def silence(self, epoch: int) -> None:
        """The hive may go elsewhere, where nobody tells this cache of what is written: it answers nothing
        from before this epoch any more. If it cannot be told so, it goes on until its last beat ends; at
        linearizable that is waited for."""
        try:
            now = await self.breaker.call(self.cache.now)
            await self.breaker.call(lambda: self.cache.beat(Beat(epoch, now + 1, now)))
        except HiveStateError:
            if self.fence is not None:
                await self.fence.stand()

    async def fetched(self, refs: Sequence[RecordRef], reply: Reply[RecordImage | None], sent: float) -> None:
        """What `recall` missed, or was not asked for, as the durable store has it."""
        self.heard(reply.at)
        at, leases, seen, near, entries = reply.at, self._leases, self.seen, self.near, list[Entry]()
        for ref, image in zip(refs, reply.results, strict=True):
            if image is None:
                near.gone(ref)
            else:
                self.keep(image, at, sent)
            if seen is not None and ref not in leases:
                seen.add(ref, VERSION_MAX if image is None else image.version)
            else:
                leased = self.unknown(ref) if image is None else self.entry(image, at, sent, leased=True)
                entries.append(leased)
        if entries:
            await self.saw(entries)

    async def saw(self, entries: Sequence[Entry]) -> None:
        """`tell`, of what was read beside the cache. Who has a lease fills an empty place."""
        if self.seen is None:
            await self.tell(entries)
            return
        for entry in entries:
            if not entry.lease:
                self.seen.add(entry.ref, entry.version or VERSION_MAX)
        await self.tell([entry for entry in entries if entry.lease])

    def passes(self) -> bool:
        """Whether a read is not to ask the cache."""
        passes = self.worth.passes()
        self.misses += passes
        return passes

    def _owe(self, entries: Sequence[Entry], trips: Collection[int] = ()) -> None:
        _latest(self._queue, entries)
        self._trips += trips
        if self._pusher is None:
            self._pusher = asyncio.create_task(self._push_all())

    async def _confirm(self, fence: Fence, entries: Sequence[Entry], trips: Collection[int]) -> None:
        if fence.safe:
            return
        try:
            await self.push(list(_latest({}, entries).values()))
            self.told.add(trips)
        except HiveStateError:
            await fence.stand()

    async def push(self, entries: Sequence[Entry]) -> None:
        """No record twice. Raises HiveStateError."""
        for start in range(0, len(entries), PUSHED_AT_ONCE):
            some = entries[start : start + PUSHED_AT_ONCE]
            await self.breaker.call(lambda some=some: self.cache.push(some))  # type: ignore[misc]

    async def _push_all(self) -> None:
        try:
            while self._queue:
                self._pushing, self._queue, trips, self._trips = self._queue, {}, self._trips, []
                try:
                    await self.push(list(self._pushing.values()))
                    self.told.add(trips)
                except HiveStateError:
                    self.doubt()
                self._pushing = {}
                await asyncio.sleep(REST)
        finally:
            self._pusher = None

    def doubt(self) -> None:
        """Something may not have reached the cache."""
        self._doubts += 1
        self._doubted_at = None

    def outdated(self, ref: RecordRef, version: int) -> None:
        """The record is known to have this version, by a refusal; nothing older is told."""
        self.near.wrote(ref, version)
        self._owe([Entry(ref, version)])


def _latest(found: dict[RecordRef, Entry], entries: Iterable[Entry]) -> dict[RecordRef, Entry]:
    """`found` with these: of each record that with the highest version; of equal ones that which may fill.
    What is pushed at once may arrive in any order, and in this one the others would do nothing."""
    for entry in entries:
        other = found.get(entry.ref)
        if other is None or _rank(entry) > _rank(other):
            found[entry.ref] = entry
    return found


def _rank(entry: Entry) -> tuple[int, bool, bool]:
    return entry.version or VERSION_MAX, entry.lease != "", entry.image is not None
