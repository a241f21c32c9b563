"""What the server's functions answer, as outcomes: the same for a reply, and for one that was stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hive_state_core.model import CommitRef, RecordRef, Ref, TaskRef
from hive_state_core.spi import (
    ClaimedTasks,
    Committed,
    Enqueued,
    Extended,
    OpResult,
    Outcome,
    Reason,
    Refused,
    Reply,
)
from hive_state_postgres.rows import STATES, Row, task_image

_load_others = msgspec.json.Decoder(list[tuple[int, dict[str, Any]]]).decode
_load_requests = msgspec.json.Decoder(list[tuple[int, int]]).decode
_load_dues = msgspec.json.Decoder(list[int | None]).decode
_REASONS = {reason.value: reason for reason in Reason}


def commit_reply(shape: str, task_ids: Iterable[str], row: Row) -> Reply[Outcome]:
    """One outcome for each letter of the shape; `others` of the row are those that it does not tell."""
    version, at, others = row["version"], row["at"], row["others"]
    exceptions = dict(_load_others(others)) if others else {}
    ids = iter(task_ids)
    plain = Committed(version, at, (None,))
    outcomes: list[Outcome] = []
    for place, letter in enumerate(shape):
        id = next(ids) if letter == "e" else ""
        if place in exceptions:
            outcomes.append(_outcome(exceptions[place]))
        elif id:
            outcomes.append(Committed(version, at, (Enqueued(id, True),)))
        else:
            outcomes.append(plain)
    return Reply(row["epoch"], at, outcomes)


def _outcome(found: dict[str, Any]) -> Outcome:
    if "f" not in found:
        return Committed(found["v"], found["t"], tuple(map(_result, found["x"])))
    return Refused(
        reason=_REASONS[found["f"]],
        ref=_ref(*found["r"]),
        index=found["i"],
        in_check=found["k"],
        expected=found["e"],
        actual=found["a"],
    )


def _ref(kind: str, name: str, key: str = "") -> Ref:
    match kind:
        case "r":
            return RecordRef(name, key)
        case "t":
            return TaskRef(name)
        case _:
            return CommitRef(name)


def _result(found: Any) -> OpResult:
    if not isinstance(found, dict):
        return found  # type: ignore[no-any-return]
    if "state" in found:
        return STATES[found["state"]]
    if "created" in found:
        return Enqueued(**found)
    return Extended(**found)


def claimed(
    shape: str, rows: Iterable[Row], slots: Iterable[int], dues: str, at: int
) -> Sequence[ClaimedTasks]:
    """One result for each request of the shape; slot n belongs to request n - 1."""
    requests = _load_requests(shape)
    due_in = [None if due is None else due - at for due in _load_dues(dues)]
    tasks: list[list[Row]] = [[] for _ in requests]
    for slot, row in zip(slots, rows, strict=True):
        tasks[slot - 1].append(row)
    found = []
    for each, (run, limit) in zip(tasks, requests, strict=True):
        if len(each) > 1:
            each.sort(key=_place)
        found.append(
            ClaimedTasks(tuple(map(task_image, each)), due_in[run - 1] if len(each) < limit else None)
        )
    return found


def _place(row: Row) -> tuple[int, int, int]:
    return row["priority"], row["due_at"], row["ord"]
