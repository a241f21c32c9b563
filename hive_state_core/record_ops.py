"""The operations behind the verbs of records, and those verbs in an atomic unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import InvalidArgument
from hive_state_core.model import RecordRef, Scalar
from hive_state_core.spi import KEEP_TTL, Check, Committed, Delete, Put, Scan, Touch, VersionIs
from hive_state_core.validate import Duration, IndexValues

if TYPE_CHECKING:
    from hive_state_core.unit import Pending, Unit

RESERVED = "hive:"
"""Collections of this prefix belong to the other facets."""

Ttl = Duration | None


class RecordOps:
    """`unit.records`: the writing verbs, gathered instead of awaited."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def put(
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
    ) -> Pending[int]:
        """As `Records.put`."""
        checks, put, size = put_parts(collection, key, value, ttl, keep_ttl, index, if_version, if_absent)
        pending = self._unit.add(put, version_of, size)
        for check in checks:
            self._unit.check(check)
        return pending

    def delete(self, collection: str, key: str, *, if_version: int | None = None) -> Pending[bool]:
        """As `Records.delete`."""
        ref = ref_of(collection, key)
        pending = self._unit.add(Delete(ref), as_bool)
        for check in checks_of(ref, if_version):
            self._unit.check(check)
        return pending

    def touch(self, collection: str, key: str, *, ttl: Ttl) -> Pending[bool]:
        """As `Records.touch`."""
        op = Touch(ref_of(collection, key), validate.optional_duration(ttl, "ttl"))
        return self._unit.add(op, as_bool)

    def expect(self, collection: str, key: str, *, version: int | None) -> None:
        """Commit the unit only if the record is at this version now; None = only if it is absent."""
        expected = 0 if version is None else validate.version(version)
        self._unit.check(VersionIs(ref_of(collection, key), expected))


def ref_of(collection: str, key: str) -> RecordRef:
    """The validated reference to a user's record."""
    ref = RecordRef(validate.name(collection, "collection"), validate.key(key))
    if collection[:5] == RESERVED:
        raise InvalidArgument(f"collections that begin with {RESERVED!r} are reserved")
    return ref


def put_parts(
    collection: str,
    key: str,
    value: Json,
    ttl: Ttl,
    keep_ttl: bool,
    index: IndexValues | None,
    if_version: int | None,
    if_absent: bool,
) -> tuple[tuple[Check, ...], Put, int]:
    """(checks, operation, bytes) of a put."""
    ref = ref_of(collection, key)
    data, raw = codec.encode(value)
    checks = checks_of(ref, if_version, if_absent)
    expiry = None if ttl is None else validate.duration(ttl, "ttl")
    if keep_ttl:
        if ttl is not None:
            raise InvalidArgument("ttl and keep_ttl exclude one another")
        expiry = KEEP_TTL
    return checks, Put(ref, data, raw, validate.index(index) if index else (), expiry), len(data)


def scan_of(
    collection: str,
    prefix: str,
    start: str | None,
    stop: str | None,
    where: Mapping[str, Scalar] | None,
    reverse: bool,
    limit: int,
) -> Scan:
    """The query over a user's collection."""
    ref_of(collection, "k")
    for bound in (start, stop):
        if bound is not None:
            validate.key(bound, "a bound")
    if prefix:
        validate.key(prefix, "prefix")
        after_prefix = validate.prefix_stop(prefix)
        start = prefix if start is None else max(start, prefix)
        if after_prefix is not None:
            stop = after_prefix if stop is None else min(stop, after_prefix)
    return Scan(
        kind="record",
        within=collection,
        start=start,
        stop=stop,
        where=validate.index(where),
        reverse=reverse,
        limit=limit,
    )


def checks_of(ref: RecordRef, if_version: int | None, if_absent: bool = False) -> tuple[Check, ...]:
    """What a write asks for. Raises InvalidArgument if it asks for both."""
    if if_absent:
        if if_version is not None:
            raise InvalidArgument("if_version and if_absent exclude one another")
        return (VersionIs(ref, 0),)
    return () if if_version is None else (VersionIs(ref, validate.version(if_version)),)


def version_of(_: object, committed: Committed) -> int:
    return committed.version


def as_bool(result: object, _: Committed) -> bool:
    return cast(bool, result)
