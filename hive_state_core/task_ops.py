"""The operations behind the verbs of tasks, and those verbs in an atomic unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import LimitExceeded
from hive_state_core.ids import derived_id, names, new_id
from hive_state_core.leases import Lease
from hive_state_core.limits import (
    ATTEMPTS,
    BATCH_BYTES,
    BATCH_OPS,
    DEPENDS,
    PRIORITY_MAX,
    PRIORITY_MIN,
    REQUIRES,
)
from hive_state_core.model import TaskRef, TaskState
from hive_state_core.spi import (
    Cancel,
    Committed,
    Enqueue,
    Enqueued,
    LeaseIs,
    Prioritize,
    Redrive,
)
from hive_state_core.validate import Duration

if TYPE_CHECKING:
    from hive_state_core.unit import Pending, Unit


class TaskOps:
    """`unit.tasks`: the writing verbs, gathered instead of awaited; each is as its namesake in `Tasks`.

    A lease that the unit ends is not completed again at the end of its block, once the unit is committed.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def enqueue(
        self,
        queue: str,
        payload: Json,
        *,
        priority: int = 5,
        delay: Duration = 0,
        max_attempts: int = 5,
        dedupe_key: str | None = None,
        depends_on: Iterable[str] = (),
        requires: Iterable[str] = (),
        id: str | None = None,
    ) -> Pending[Enqueued]:
        """In a unit with a commit_id the default id follows from that and the place in the unit."""
        data, raw = codec.encode(payload)
        task_id = self._new_id() if id is None else id
        op = enqueue_op(
            task_id, queue, data, raw, priority, delay, max_attempts, dedupe_key, depends_on, requires
        )
        return self._unit.add(op, _as_it_is, len(data))

    def complete(self, lease: Lease, result: Json = None) -> Pending[None]:
        op, size = lease.completion(result)
        return self._unit.add(op, lease.settle, size)

    def fail(
        self, lease: Lease, error: str | BaseException, *, retry_in: Duration | UnsetType | None = UNSET
    ) -> Pending[TaskState]:
        """In a unit with a commit_id the back-off is not jittered: a retry must ask for the same."""
        op = lease.failure(error, retry_in, jitter=self._unit.commit_id is None)
        return self._unit.add(op, lease.settle)

    def release(self, lease: Lease, *, delay: Duration = 0) -> Pending[TaskState]:
        return self._unit.add(lease.giving_back(delay), lease.settle)

    def cancel(self, id: str) -> Pending[TaskState | None]:
        return self._unit.add(Cancel(task_ref(id)), _as_it_is)

    def redrive(self, id: str) -> Pending[bool]:
        return self._unit.add(Redrive(task_ref(id)), _as_it_is)

    def prioritize(self, id: str, priority: int) -> Pending[bool]:
        return self._unit.add(prioritize_op(id, priority), _as_it_is)

    def expect(self, lease: Lease) -> None:
        """Commit the unit only if the lease is current, else LeaseLost; the lease goes on."""
        self._unit.check(LeaseIs(TaskRef(lease.id), lease.token))

    def _new_id(self) -> str:
        commit_id = self._unit.commit_id
        return new_id() if commit_id is None else derived_id(commit_id, self._unit.count())


def task_ref(id: str) -> TaskRef:
    return TaskRef(validate.key(id, "a task's id"))


def enqueue_op(
    id: str,
    queue: str,
    data: bytes,
    raw: bool,
    priority: int,
    delay: Duration,
    max_attempts: int,
    dedupe_key: str | None,
    depends_on: Iterable[str],
    requires: Iterable[str],
) -> Enqueue:
    """The operation, everything but the payload validated."""
    return Enqueue(
        task_ref(id),
        validate.name(queue, "queue"),
        data,
        raw,
        validate.integer(priority, "priority", PRIORITY_MIN, PRIORITY_MAX),
        validate.duration(delay, "delay", zero=True),
        validate.integer(max_attempts, "max_attempts", 1, ATTEMPTS),
        None if dedupe_key is None else validate.key(dedupe_key, "dedupe_key"),
        _sorted_set(names(requires, "requires"), "requires", REQUIRES) if requires else (),
        _sorted_set(_ids(depends_on), "depends_on", DEPENDS) if depends_on else (),
    )


def prioritize_op(id: str, priority: int) -> Prioritize:
    return Prioritize(task_ref(id), validate.integer(priority, "priority", PRIORITY_MIN, PRIORITY_MAX))


def _ids(given: Iterable[str]) -> list[str]:
    return [validate.key(each, "one of depends_on") for each in validate.several(given, "depends_on")]


def _sorted_set(given: list[str], what: str, most: int) -> tuple[str, ...]:
    unique = tuple(sorted(set(given)))
    if len(unique) > most:
        raise LimitExceeded(f"the number of entries in {what}", len(unique), most)
    return unique


def chunks(encoded: list[tuple[bytes, bool]]) -> Iterable[tuple[list[tuple[bytes, bool]], int]]:
    """Runs that each fit one batch, with their sizes."""
    chunk: list[tuple[bytes, bool]] = []
    size = 0
    for entry in encoded:
        if chunk and (len(chunk) == BATCH_OPS or size + len(entry[0]) > BATCH_BYTES):
            yield chunk, size
            chunk, size = [], 0
        chunk.append(entry)
        size += len(entry[0])
    if chunk:
        yield chunk, size


def _as_it_is(result: Any, _: Committed) -> Any:
    return result
