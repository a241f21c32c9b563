"""What the server's functions answer, as outcomes: the same for a reply, and for one that was stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hive_state_core.model import CommitRef, GroupRef, RecordRef, Ref, TaskRef
from hive_state_core.spi import (
    Claimed,
    ClaimedEvents,
    ClaimedTasks,
    Committed,
    Enqueued,
    Extended,
    OpResult,
    Outcome,
    Reason,
    Refused,
    Reply,
    Trimmed,
)
from hive_state_postgres.claiming import load_asked
from hive_state_postgres.rows import STATES, Row, delivery, task_image

_load_others = msgspec.json.Decoder(list[tuple[int, dict[str, Any]]]).decode
_load_dues = msgspec.json.Decoder(list[int | bool | None]).decode
_REASONS = {reason.value: reason for reason in Reason}


_parts = re.compile(r"\(\w+\)|\w").findall


def commit_reply(shape: str, task_ids: Iterable[str], row: Row) -> Reply[Outcome]:
    """One outcome for each batch of the shape; `others` of the row are those that it does not tell."""
    version, at, others = row["version"], row["at"], row["others"]
    exceptions = dict(_load_others(others)) if others else {}
    results = _Results(task_ids, row["seqs"] or (), row["olds"] or ())
    alike: dict[str, Committed] = {}  # of the letters of batches that have no results of their own
    outcomes: list[Outcome] = []
    for place, letters in enumerate(shape if "(" not in shape else _parts(shape)):
        outcome = alike.get(letters)
        if outcome is None:
            found = tuple(map(results.of, letters.strip("()")))
            outcome = Committed(version if _changed(found) else 0, at, found)
            if "e" not in letters and "a" not in letters:
                alike[letters] = outcome
        outcomes.append(_outcome(exceptions[place]) if place in exceptions else outcome)
    return Reply(row["epoch"], at, outcomes)


def _changed(results: Sequence[OpResult]) -> bool:
    """An Enqueue of a task that is there already is all that a flat batch can do without a change."""
    return any(type(result) is not Enqueued or result.created for result in results)


class _Results:
    """The results of the parts of flat batches, one after the other.

    task_ids  of those that were enqueued, `olds` of them (from 1) were there before
    seqs      that the appended events got; None for those of refused batches
    """

    def __init__(self, task_ids: Iterable[str], seqs: Iterable[int], olds: Sequence[int]) -> None:
        self._tasks = iter(enumerate(task_ids, 1))
        self._seqs = iter(seqs)
        self._olds = olds

    def of(self, letter: str) -> OpResult:
        if letter == "e":
            number, id = next(self._tasks)
            return Enqueued(id, number not in self._olds)
        return next(self._seqs) if letter == "a" else None


def load_committed(text: str) -> Committed:
    """Of `commits.outcome`."""
    return _committed(msgspec.json.decode(text))


def _committed(found: dict[str, Any]) -> Committed:
    return Committed(found["v"], found["t"], tuple(map(_result, found["x"])))


def _outcome(found: dict[str, Any]) -> Outcome:
    if "f" not in found:
        return _committed(found)
    return Refused(
        reason=_REASONS[found["f"]],
        ref=_ref(*found["r"]),
        index=found["i"],
        in_check=found["k"],
        expected=found["e"],
        actual=found["a"],
        seq=found.get("q", 0),
    )


def _ref(kind: str, name: str, key: str = "") -> Ref:
    match kind:
        case "r":
            return RecordRef(name, key)
        case "t":
            return TaskRef(name)
        case "g":
            return GroupRef(name, key)
        case _:
            return CommitRef(name)


def _result(found: Any) -> OpResult:
    if not isinstance(found, dict):
        return found  # type: ignore[no-any-return]
    if "state" in found:
        return STATES[found["state"]]
    if "created" in found:
        return Enqueued(**found)
    if "removed" in found:
        return Trimmed(**found)
    return Extended(**found)


def claimed(shape: str, rows: Iterable[Row], slots: Iterable[int], dues: str, at: int) -> Sequence[Claimed]:
    """One result for each request of the shape; slot n belongs to request n - 1. `dues`: the instant at
    which a run is worth another claim, for each; false: there is no such group."""
    requests = load_asked(shape)
    due_at = _load_dues(dues)
    found: list[list[Row]] = [[] for _ in requests]
    for slot, row in zip(slots, rows, strict=True):
        found[slot - 1].append(row)
    results: list[Claimed] = []
    for each, asked in zip(found, requests, strict=True):
        due = due_at[asked.run - 1]
        due_in = None if due is None or len(each) == asked.limit else due - at
        if asked.stream is None:
            each.sort(key=_place)
            results.append(ClaimedTasks(tuple(map(task_image, each)), due_in))
        elif due is False:
            results.append(ClaimedEvents((), missing=True))
        else:
            each.sort(key=_seq)
            events = tuple([delivery(asked.stream, row) for row in each])
            results.append(ClaimedEvents(events, next_due_in=due_in))
    return results


def _place(row: Row) -> tuple[int, int, int]:
    return row["priority"], row["due_at"], row["ord"]


def _seq(row: Row) -> int:
    return row["ord"]  # type: ignore[no-any-return]
