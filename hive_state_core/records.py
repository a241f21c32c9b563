"""Records: versioned values under (collection, key), with compare-and-set, TTL and index fields."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import cast

import msgspec

from hive_state_core import cursors, validate
from hive_state_core import watch as watching
from hive_state_core.codec import Json
from hive_state_core.errors import InvalidArgument
from hive_state_core.limits import SCAN_PAGE
from hive_state_core.model import RecordImage, Scalar
from hive_state_core.paging import pages
from hive_state_core.record_model import Change, Record, RecordPage
from hive_state_core.record_ops import RecordOps, Ttl, checks_of, put_parts, ref_of, scan_of
from hive_state_core.spi import Batch, Delete, Touch
from hive_state_core.trips import Trips
from hive_state_core.unit import Unit
from hive_state_core.validate import Duration, IndexValues

__all__ = ["Change", "Record", "RecordOps", "RecordPage", "Records", "Ttl"]


class Records:
    """`hive.records`. Every verb takes `timeout=` in seconds, see `Store`."""

    def __init__(self, trips: Trips) -> None:
        self._trips = trips

    async def get(
        self, collection: str, key: str, *, fresh: bool = False, timeout: float | None = None
    ) -> Record | None:
        """The record, or None if it is absent. `fresh`: as the store has it now, also where a cache might
        tell less; `get_many` and the lists always are."""
        image = await self._trips.record(ref_of(collection, key), timeout, fresh)
        if image is None:
            return None
        record = Record(image)
        _ = record.value  # a value that cannot be decoded is found here, not later
        return record

    async def get_many(
        self, collection: str, keys: Iterable[str], *, timeout: float | None = None
    ) -> list[Record | None]:
        """One entry for each key, in their order, doubles and holes kept: all from one snapshot."""
        refs = tuple([ref_of(collection, key) for key in validate.several(keys, "keys")])
        images = cast("Sequence[RecordImage | None]", await self._trips.read(refs, timeout))
        return [None if image is None else Record(image) for image in images]

    async def put(
        self,
        collection: str,
        key: str,
        value: Json,
        *,
        ttl: Ttl = None,
        keep_ttl: bool = False,
        index: IndexValues | None = None,
        if_version: int | None = None,
        if_absent: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Write the whole record; the new version.

        value       JSON (see `codec`), or bytes, which come back as bytes
        ttl         the record is absent from then on; None = it never expires (an earlier TTL ends);
                    `keep_ttl` leaves the instant as it is
        index       fields to find it by: {"status": "idle", "capability": ["plan", "code"]}
        if_version  only if this is its version now, else Conflict
        if_absent   only if there is none, else AlreadyExists
        """
        checks, put, size = put_parts(collection, key, value, ttl, keep_ttl, index, if_version, if_absent)
        return (await self._trips.commit(Batch((put,), checks), size, timeout)).version

    async def put_many(
        self,
        collection: str,
        values: Mapping[str, Json],
        *,
        ttl: Ttl = None,
        timeout: float | None = None,
    ) -> int | None:
        """Write all or nothing, up to 1000 records; their version, None for no records."""
        unit = Unit(self._trips, commit_id=None, timeout=timeout)
        if not isinstance(values, Mapping):
            raise InvalidArgument(f"values must be a mapping of keys, not {type(values).__name__}")
        for key, value in values.items():
            unit.records.put(collection, key, value, ttl=ttl)
        if not unit.count():
            return None
        await unit.commit()
        return unit.version

    async def delete(
        self, collection: str, key: str, *, if_version: int | None = None, timeout: float | None = None
    ) -> bool:
        """Whether there was something to delete. With `if_version`, Conflict unless that is its version."""
        ref = ref_of(collection, key)
        committed = await self._trips.commit(
            Batch((Delete(ref),), checks_of(ref, if_version)), timeout=timeout
        )
        return cast(bool, committed.results[0])

    async def delete_many(self, collection: str, keys: Iterable[str], *, timeout: float | None = None) -> int:
        """Delete all at once, up to 1000 keys; how many there were."""
        unit = Unit(self._trips, commit_id=None, timeout=timeout)
        deleted = [
            unit.records.delete(collection, key) for key in dict.fromkeys(validate.several(keys, "keys"))
        ]
        await unit.commit()
        return sum(pending.result for pending in deleted)

    async def touch(self, collection: str, key: str, *, ttl: Ttl, timeout: float | None = None) -> bool:
        """Give the record a new TTL (and a new version); False if it is absent."""
        op = Touch(ref_of(collection, key), validate.optional_duration(ttl, "ttl"))
        committed = await self._trips.commit(Batch((op,)), timeout=timeout)
        return cast(bool, committed.results[0])

    async def list(
        self,
        collection: str,
        *,
        prefix: str = "",
        start: str | None = None,
        stop: str | None = None,
        where: Mapping[str, Scalar] | None = None,
        reverse: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Record]:
        """All records of a collection in byte order of their keys, page by page.

        prefix, start, stop   bounds: keys that begin with `prefix`, and start <= key < stop
        where                 only records that have all these index entries

        A record that is there all the while comes exactly once; one that comes or goes meanwhile may or
        may not.
        """
        query = scan_of(collection, prefix, start, stop, where, reverse, SCAN_PAGE // 4)
        async for image in pages(self._trips, query, timeout):
            yield Record(image)

    async def page(
        self,
        collection: str,
        *,
        prefix: str = "",
        start: str | None = None,
        stop: str | None = None,
        where: Mapping[str, Scalar] | None = None,
        reverse: bool = False,
        limit: int = 100,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> RecordPage:
        """One page of `list`. A cursor of another query is refused with InvalidArgument."""
        validate.integer(limit, "limit", 1, SCAN_PAGE)
        query = scan_of(collection, prefix, start, stop, where, reverse, limit)
        if cursor is not None:
            query = msgspec.structs.replace(query, after=cursors.open_cursor(cursor, query))
        page = await self._trips.scan(query, timeout)
        records = [Record(cast(RecordImage, image)) for image in page.items]
        return RecordPage(records, None if page.next is None else cursors.make_cursor(query, page.next))

    async def count(
        self,
        collection: str,
        *,
        prefix: str = "",
        start: str | None = None,
        stop: str | None = None,
        where: Mapping[str, Scalar] | None = None,
        timeout: float | None = None,
    ) -> int:
        """How many `list` would give."""
        query = scan_of(collection, prefix, start, stop, where, False, 1)
        page = await self._trips.scan(msgspec.structs.replace(query, count=True), timeout)
        return page.total or 0

    async def watch(
        self, collection: str, key: str | None = None, *, prefix: str = "", poll: Duration = 0.5
    ) -> AsyncGenerator[Change, None]:
        """What there is, then every change, without end: of one record, or of all of a collection (whose keys
        begin with `prefix`).

        Each change tells the latest value: of several that follow quickly some may be skipped, the last
        one never. `poll` is the longest time between two looks; a collection is listed at each of them,
        without its values, and the versions of its records are kept in memory. A store that is not
        available is waited for; when it is closed, this ends.
        """
        if key is None:
            query = scan_of(collection, prefix, None, None, None, False, SCAN_PAGE)
            seen = watching.watch_collection(self._trips, query, poll)
        elif prefix:
            raise InvalidArgument("key and prefix exclude one another")
        else:
            seen = watching.watch_record(self._trips, ref_of(collection, key), poll)
        async with aclosing(seen):
            async for each in seen:
                yield Change(each.key, None if each.image is None else Record(each.image))
