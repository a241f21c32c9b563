"""What a driver's refusal is to the caller: one error that names the entity, in words."""

from __future__ import annotations

from hive_state_core.errors import (
    AlreadyExists,
    Conflict,
    HiveStateError,
    InvalidArgument,
    LeaseLost,
    NotFound,
)
from hive_state_core.model import (
    DedupeRef,
    GroupRef,
    PendingRef,
    QueueRef,
    RecordRef,
    Ref,
    StreamRef,
    TaskRef,
)
from hive_state_core.spi import Reason, Refused


def describe(ref: Ref) -> str:
    """The entity in words, as error messages name it."""
    match ref:
        case RecordRef(collection, key):
            return f"record {key!r} in collection {collection!r}"
        case TaskRef(id):
            return f"task {id!r}"
        case QueueRef(queue):
            return f"queue {queue!r}"
        case DedupeRef(queue, key):
            return f"dedupe key {key!r} in queue {queue!r}"
        case StreamRef(stream):
            return f"stream {stream!r}"
        case GroupRef(stream, group):
            return f"group {group!r} of stream {stream!r}"
        case PendingRef(stream, group, seq):
            return f"event {seq} of stream {stream!r}, handed to group {group!r},"
        case _:
            return f"commit {ref.id!r}"


def refusal_error(refused: Refused) -> HiveStateError:
    """The error to raise for a refused batch."""
    what = describe(_entity(refused))
    match refused.reason:
        case Reason.MISSING:
            return NotFound(f"{what} does not exist")
        case Reason.COMMIT_ID:
            return InvalidArgument(
                f"{what} was already used for another batch; a commit id names one batch for good"
            )
        case Reason.LEASE:
            return LeaseLost(
                f"the lease of {what} is not current any more"
                f" (token {refused.expected}, now {refused.actual or 'none'})",
                key=what,
                expected=refused.expected,
                actual=refused.actual,
                index=refused.index,
            )
        case _:
            kind = Conflict if refused.expected else AlreadyExists
            return kind(
                f"{what} is {_version(refused.actual)}, not {_version(refused.expected)}",
                key=what,
                expected=refused.expected,
                actual=refused.actual,
                index=refused.index,
            )


def _entity(refused: Refused) -> Ref:
    """Of a group's deliveries, the one that is not current."""
    ref = refused.ref
    if isinstance(ref, GroupRef) and refused.seq:
        return PendingRef(ref.stream, ref.group, refused.seq)
    return ref


def _version(version: int) -> str:
    return f"at version {version}" if version else "absent"
