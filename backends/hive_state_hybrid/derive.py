"""What a committed batch made of records: for the cache, as whole images where they are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import KEEP_TTL, Batch, Committed, Delete, Put, Touch, VersionIs

Known = Callable[[RecordRef, int], RecordImage | None]
Written = tuple[RecordRef, RecordImage | None]
"""None: it was written, and what it is now must be read."""


def written(batch: Batch, committed: Committed, known: Known) -> Sequence[Written]:
    """Each record that the batch wrote. `known` gives the image of a version, if somebody kept it."""
    op = batch.ops[0]
    if type(op) is Put and not batch.checks and len(batch.ops) == 1:  # most often
        return ((op.ref, None),)
    expected = {check.ref: check.version for check in batch.checks if type(check) is VersionIs}
    found: list[Written] = []
    for op, result in zip(batch.ops, committed.results, strict=True):
        if type(op) is Put:
            before = expected.get(op.ref) if expected else None
            found.append((op.ref, None if before is None else _put(op, committed, before, known)))
        elif type(op) is Delete and result:
            found.append((op.ref, _tombstone(op.ref, committed)))
        elif type(op) is Touch and result:
            found.append((op.ref, None))
    return found


def _put(op: Put, committed: Committed, expected: int, known: Known) -> RecordImage | None:
    """Since when it is there, and what TTL it keeps, is known only if it is known what was there before."""
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
