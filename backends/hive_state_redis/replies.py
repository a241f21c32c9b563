"""What the scripts answer, as outcomes: the same for a reply, and for one that was stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from hive_state_core import outcomes
from hive_state_core.control import require_open
from hive_state_core.errors import Unavailable
from hive_state_core.model import CommitRef, GroupRef, RecordRef, Ref, TaskRef, TaskState
from hive_state_core.spi import (
    Append,
    Cancel,
    Claimed,
    ClaimedEvents,
    ClaimedTasks,
    Committed,
    ControlState,
    CreateGroup,
    Delete,
    DropGroup,
    DropStream,
    Enqueue,
    Enqueued,
    Extend,
    Extended,
    Fail,
    OpResult,
    Outcome,
    Prioritize,
    Reason,
    Redrive,
    Refused,
    Release,
    Reply,
    SetPaused,
    Take,
    Touch,
    Trim,
    Trimmed,
)
from hive_state_redis.encoding import CODES, LEASE_IS, PARENTS, Item, batches_of, ops_of
from hive_state_redis.keys import load_head
from hive_state_redis.rows import STATES, delivery, task_image

_encode = msgspec.msgpack.Encoder().encode
_load_batches = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode
_load_commit = msgspec.msgpack.Decoder(tuple[int, int, int, Any]).decode
_Told = tuple[int, int | str, int | list[int], int | bool, bool]
_load_claim = msgspec.msgpack.Decoder(tuple[int, int, list[_Told]]).decode
_REASONS = (Reason.VERSION, Reason.VERSION, Reason.LEASE, Reason.MISSING, Reason.COMMIT_ID)
"""By their number, from 1."""


def accepted(reply: Any) -> Any:
    """The reply, unless it says why nothing was done. Raises what the control row says, SchemaMismatch if the
    namespace is not there, Unavailable for a trip that was made void."""
    if not isinstance(reply, list) or not reply:
        return reply
    if reply[0] == b"!":
        require_open(ControlState(reply[1].decode()), reply[2].decode() or None)
    elif reply[0] == b"?":
        load_head(None)
    elif reply[0] == b"void":
        raise Unavailable("the trip was given up before it reached the server; nothing was applied")
    return reply


# -- commits: a batch, an operation and a check are here what `encoding` made of them


def commit_reply(batches: Sequence[Item], data: bytes) -> Reply[Outcome]:
    """One outcome for each batch."""
    epoch, at, version, found = _load_commit(data)
    if found == 0:
        silent = Committed(version, at, (None,))
        plain = [silent if _is_silent(batch[0]) else _plain(batch, version, at) for batch in batches]
        return Reply(epoch, at, plain)
    pairs = zip(batches, found, strict=True)
    return Reply(epoch, at, [_outcome(batch, outcome, version, at) for batch, outcome in pairs])


def stored_commit(data: bytes) -> Reply[Outcome]:
    """Of what is kept of a trip: the size of its reply; this; the batches."""
    size = int.from_bytes(data[:4], "little")
    return commit_reply(batches_of(_load_batches(data[4 + size :])), data[4 : 4 + size])


def _is_silent(first: Any) -> bool:
    """Whether a batch that begins like that is one operation which never says more than that it was done."""
    return isinstance(first, int) and first in _SILENT


def _plain(batch: Item, version: int, at: int) -> Committed:
    return Committed(version, at, tuple([_PLAIN[op[0]](op) for op in ops_of(batch)]))


def _outcome(batch: Item, found: Any, version: int, at: int) -> Outcome:
    if isinstance(found, int):
        return _plain(batch, version, at) if found == 1 else Committed(version, at, (found,))
    first, rest = found[0], found[1:]
    if first is None:
        return outcomes.load(_encode(rest[0]))
    if isinstance(first, bool):
        results = tuple([_result(op, result) for op, result in zip(ops_of(batch), rest[0], strict=True)])
        return Committed(version if first else 0, at, results)
    in_check, index, expected, actual, seq = rest
    reason = _REASONS[first]
    ref = _refused_ref(batch, reason, in_check, index, seq)
    return Refused(reason, ref, index, in_check, expected, actual, seq if reason is Reason.LEASE else 0)


def _refused_ref(batch: Item, reason: Reason, in_check: bool, index: int, place: int) -> Ref:
    """`place`: of the parent that is missing, from 1."""
    if reason is Reason.COMMIT_ID:
        return CommitRef(batch[2])
    item = batch[1][index] if in_check and not isinstance(batch[0], int) else ops_of(batch)[index]
    if in_check:
        return TaskRef(item[1]) if item[0] == LEASE_IS else RecordRef(*item[1].split("\0"))
    if item[0] == CODES[Enqueue]:
        return TaskRef(item[PARENTS][place - 1])
    return TaskRef(item[1]) if item[0] < CODES[SetPaused] else GroupRef(item[1], item[2])


def _result(op: Item, found: Any) -> OpResult:
    return _PLAIN[op[0]](op) if found is True else _OTHER[op[0]](found)


def _none(_: Any) -> None:
    return None


def _done(_: Item) -> bool:
    return True


def _enqueued(op: Item) -> Enqueued:
    return Enqueued(op[1], True)


def _state(found: int) -> TaskState | None:
    return STATES[found] if found else None


_TOLD: dict[type, Callable[[Any], OpResult]] = {
    Enqueue: lambda found: Enqueued(*found),
    Fail: _state,
    Release: _state,
    Cancel: _state,
    Extend: lambda found: Extended(*found),
    Trim: lambda found: Trimmed(*found),
    Take: int,
    Append: int,
}
_YES_OR_NO = (Delete, Touch, Redrive, Prioritize, CreateGroup, DropGroup, DropStream)
_PLAIN: list[Callable[[Item], OpResult]] = [
    _none,
    *[_enqueued if kind is Enqueue else _done if kind in _YES_OR_NO else _none for kind in CODES],
]
"""By the code of an operation: its result if it did what it is for, and that says nothing more ..."""
_SILENT = frozenset([code for code, result in enumerate(_PLAIN) if result is _none])
"""Codes of those that never say more."""
_OTHER: list[Callable[[Any], OpResult]] = [
    _none,
    *[bool if kind in _YES_OR_NO else _TOLD.get(kind, _none) for kind in CODES],
]
"""... and what any other answer of the script means."""

# -- claims


def claim_reply(reply: Sequence[Any]) -> Reply[Claimed]:
    """One result for each request. `reply`: the summary, then the parts of what was handed out."""
    epoch, at, summary = _load_claim(reply[0])
    parts = iter(reply[1:])
    found: list[Claimed] = []
    for _, what, given, due, missing in summary:
        due_in = None if due is False else due
        if isinstance(given, list):
            found += _claimed_tasks(parts, what, given, due_in)
        else:
            events = [delivery(str(what), next(parts), next(parts)) for _ in range(given)]
            found.append(ClaimedEvents(tuple(events), missing, due_in))
    return Reply(epoch, at, found)


def _claimed_tasks(
    parts: Iterator[Any], limit: int | str, given: Sequence[int], due_in: int | None
) -> Iterator[ClaimedTasks]:
    """Of a run: as many for each worker as it was given, and when more may be due for who got less than
    the limit."""
    for count in given:
        tasks = [task_image(next(parts).decode(), next(parts), next(parts)) for _ in range(count)]
        yield ClaimedTasks(tuple(tasks), None if count == limit else due_in)
