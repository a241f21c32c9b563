"""What a committed batch made of records: for the cache, as whole images where they are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import KEEP_TTL, Batch, Committed, Delete, Put, Touch, VersionIs

Known = Callable[[RecordRef, int], RecordImage | None]
Written = tuple[RecordRef, RecordImage | None]
"""None: it was written, and what it is now must be read."""


def written(batch: Batch, committed: Committed, known: Known) -> Iterator[Written]:
    """Each record that the batch wrote. `known` gives the image of a version, if somebody kept it."""
    expected = {check.ref: check.version for check in batch.checks if isinstance(check, VersionIs)}
    for op, result in zip(batch.ops, committed.results, strict=True):
        if isinstance(op, Put):
            yield op.ref, _put(op, committed, expected.get(op.ref), known)
        elif isinstance(op, Delete) and result:
            yield op.ref, _tombstone(op.ref, committed)
        elif isinstance(op, Touch) and result:
            yield op.ref, None


def _put(op: Put, committed: Committed, expected: int | None, known: Known) -> RecordImage | None:
    """Since when it is there, and what TTL it keeps, is known only if it is known what was there before."""
    if expected is None:
        return None
    before = known(op.ref, expected) if expected else None
    if before is None and expected:
        return None
    expires_at = None if op.ttl is None else committed.at + op.ttl
    if op.ttl == KEEP_TTL:
        expires_at = before.expires_at if before else None
    return RecordImage(
        ref=op.ref,
        version=committed.version,
        created_version=before.created_version if before else committed.version,
        value=op.value,
        raw=op.raw,
        index=op.index,
        created_at=before.created_at if before else committed.at,
        updated_at=committed.at,
        expires_at=expires_at,
    )


def _tombstone(ref: RecordRef, committed: Committed) -> RecordImage:
    return RecordImage(
        ref=ref,
        version=committed.version,
        created_version=committed.version,
        value=None,
        raw=True,
        index=(),
        created_at=committed.at,
        updated_at=committed.at,
        expires_at=None,
    )
