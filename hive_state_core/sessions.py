"""Sessions: values that live for a time, and a while longer whenever they are touched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import cast

from msgspec.structs import replace

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.limits import SCAN_PAGE
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.paging import pages
from hive_state_core.record_model import Stored
from hive_state_core.record_ops import as_bool, checks_of, version_of
from hive_state_core.spi import Batch, Check, Delete, Put, Scan, Touch
from hive_state_core.trips import Trips
from hive_state_core.unit import Pending, Unit
from hive_state_core.validate import Duration

COLLECTION = "hive:sessions"


class Session(Stored):
    """A session as it was read."""

    __slots__ = ()
    _kind = "session"

    @property
    def id(self) -> str:
        return self._image.ref.key

    @property
    def expires_at(self) -> datetime:
        """The session is absent from this instant of the store's clock on, unless it is touched before."""
        return validate.instant(self._image.expires_at or 0)

    def __repr__(self) -> str:
        return f"Session({self.id!r}, version={self.version})"


class Sessions:
    """`hive.sessions`. Every verb takes `timeout=` in seconds, see `Store`."""

    def __init__(self, trips: Trips) -> None:
        self._trips = trips

    async def set(
        self,
        id: str,
        value: Json,
        *,
        ttl: Duration,
        if_version: int | None = None,
        if_absent: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Write the whole session, to live for `ttl` from now on; the new version.

        value       JSON (see `codec`), or bytes, which come back as bytes
        if_version  only if this is its version now, else Conflict
        if_absent   only if there is none, or it has expired, else AlreadyExists
        """
        checks, put, size = set_parts(id, value, ttl, if_version, if_absent)
        return (await self._trips.commit(Batch((put,), checks), size, timeout)).version

    async def get(self, id: str, *, fresh: bool = False, timeout: float | None = None) -> Session | None:
        """The session, or None if it is absent. Reading does not make it live longer. `fresh` as in
        `records.get`."""
        (image,) = await self._trips.read((session_ref(id),), timeout, fresh)
        if image is None:
            return None
        session = Session(cast(RecordImage, image))
        _ = session.value  # a value that cannot be decoded is found here, not later
        return session

    async def touch(self, id: str, *, ttl: Duration, timeout: float | None = None) -> bool:
        """Let the session live for `ttl` from now on; False if it is absent: what has expired stays so.

        Touches of one `ttl` never shorten its life, in whatever order they arrive, as the store's clock
        does not go back. A touch with a shorter `ttl` is meant to, and does.
        """
        committed = await self._trips.commit(Batch((touch_op(id, ttl),)), timeout=timeout)
        return cast(bool, committed.results[0])

    async def delete(self, id: str, *, timeout: float | None = None) -> bool:
        """Whether there was something to delete."""
        committed = await self._trips.commit(Batch((Delete(session_ref(id)),)), timeout=timeout)
        return cast(bool, committed.results[0])

    async def list(self, *, prefix: str = "", timeout: float | None = None) -> AsyncIterator[Session]:
        """The sessions whose id begins with `prefix`, in byte order of their ids, page by page.

        One that is there all the while comes exactly once; one that comes or goes meanwhile may or may
        not.
        """
        async for image in pages(self._trips, _scan(prefix), timeout):
            yield Session(image)

    async def count(self, *, prefix: str = "", timeout: float | None = None) -> int:
        """How many `list` would give."""
        page = await self._trips.scan(replace(_scan(prefix), count=True), timeout)
        return page.total or 0


class SessionOps:
    """`unit.sessions`: the writing verbs, gathered instead of awaited; each as its namesake in `Sessions`."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def set(
        self,
        id: str,
        value: Json,
        *,
        ttl: Duration,
        if_version: int | None = None,
        if_absent: bool = False,
    ) -> Pending[int]:
        checks, put, size = set_parts(id, value, ttl, if_version, if_absent)
        pending = self._unit.add(put, version_of, size)
        for check in checks:
            self._unit.check(check)
        return pending

    def touch(self, id: str, *, ttl: Duration) -> Pending[bool]:
        return self._unit.add(touch_op(id, ttl), as_bool)

    def delete(self, id: str) -> Pending[bool]:
        return self._unit.add(Delete(session_ref(id)), as_bool)


def session_ref(id: str) -> RecordRef:
    return RecordRef(COLLECTION, validate.key(id, "a session's id"))


def set_parts(
    id: str, value: Json, ttl: Duration, if_version: int | None, if_absent: bool
) -> tuple[tuple[Check, ...], Put, int]:
    """(checks, operation, bytes) of a set."""
    ref = session_ref(id)
    data, raw = codec.encode(value)
    return (
        checks_of(ref, if_version, if_absent),
        Put(ref, data, raw, ttl=validate.duration(ttl, "ttl")),
        len(data),
    )


def touch_op(id: str, ttl: Duration) -> Touch:
    return Touch(session_ref(id), validate.duration(ttl, "ttl"))


def _scan(prefix: str) -> Scan:
    bounds = (validate.key(prefix, "prefix"), validate.prefix_stop(prefix)) if prefix else (None, None)
    start, stop = bounds
    return Scan(kind="record", within=COLLECTION, start=start, stop=stop, limit=SCAN_PAGE // 4)
