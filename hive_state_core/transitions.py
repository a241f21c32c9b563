"""The task state machine, as pure functions from image to image.

What a driver decides for one task, once the pre-state allows it (see `spi`). A driver that decides in
Python uses these; one that decides in SQL or Lua says the same in its own words, and the conformance
suite compares them.
"""

from __future__ import annotations

from msgspec.structs import replace

from hive_state_core.model import LIVE, TaskImage, TaskState
from hive_state_core.spi import (
    LEASE_EXPIRED,
    ClaimTasks,
    Complete,
    Enqueue,
    Extend,
    Fail,
    Prioritize,
    Release,
    Take,
)


def enqueued(op: Enqueue, *, at: int, version: int, order: int, unmet: int) -> TaskImage:
    """The new task; `unmet` of its parents are not completed yet."""
    due_at = at + op.delay
    return TaskImage(
        ref=op.ref,
        version=version,
        queue=op.queue,
        state=TaskState.WAITING if unmet else _runnable(due_at, at),
        priority=op.priority,
        order=order,
        due_at=due_at,
        payload=op.payload,
        raw=op.raw,
        dedupe_key=op.dedupe_key,
        requires=op.requires,
        parents=op.depends_on,
        unmet=unmet,
        attempt=0,
        max_attempts=op.max_attempts,
        token=0,
        lease_until=None,
        worker=None,
        cancel_requested=False,
        error=None,
        result=None,
        result_raw=False,
        created_at=at,
        updated_at=at,
        finished_at=None,
    )


def claimed(task: TaskImage, request: ClaimTasks | Take, *, at: int, version: int) -> TaskImage:
    """ready, or scheduled and due -> leased. The token is the version of the claim."""
    return replace(
        task,
        version=version,
        state=TaskState.LEASED,
        attempt=task.attempt + 1,
        token=version,
        lease_until=at + request.lease,
        worker=request.worker,
        updated_at=at,
    )


def completed(task: TaskImage, op: Complete, *, at: int, version: int) -> TaskImage:
    done = _unleased(task, TaskState.COMPLETED, at=at, version=version)
    return replace(done, result=op.result, result_raw=op.raw)


def failed(task: TaskImage, op: Fail, *, at: int, version: int) -> TaskImage:
    if task.cancel_requested:
        state, due_at = TaskState.CANCELLED, task.due_at
    elif op.retry_in is None or task.attempt >= task.max_attempts:
        state, due_at = TaskState.DEAD, task.due_at
    else:
        due_at = at + op.retry_in
        state = _runnable(due_at, at)
    return replace(_unleased(task, state, at=at, version=version), due_at=due_at, error=op.error)


def released(task: TaskImage, op: Release, *, at: int, version: int) -> TaskImage:
    due_at = task.due_at
    if task.cancel_requested:
        state = TaskState.CANCELLED
    elif op.delay:
        state, due_at = TaskState.SCHEDULED, at + op.delay
    else:
        state = TaskState.READY
    freed = _unleased(task, state, at=at, version=version)
    return replace(freed, due_at=due_at, attempt=task.attempt - 1)


def expired(task: TaskImage, *, at: int, version: int) -> TaskImage:
    """A lease that is over is taken away."""
    if task.cancel_requested:
        state = TaskState.CANCELLED
    elif task.attempt >= task.max_attempts:
        state = TaskState.DEAD
    else:
        state = TaskState.READY
    return replace(_unleased(task, state, at=at, version=version), error=LEASE_EXPIRED)


def extended(task: TaskImage, op: Extend, *, at: int, version: int) -> TaskImage:
    return replace(
        task, version=version, lease_until=max(task.lease_until or 0, at + op.lease), updated_at=at
    )


def cancelled(task: TaskImage, *, at: int, version: int) -> TaskImage:
    """The same image if there is nothing to cancel any more."""
    if task.state is TaskState.LEASED and not task.cancel_requested:
        return replace(task, version=version, cancel_requested=True, updated_at=at)
    if task.state in LIVE and task.state is not TaskState.LEASED:
        return replace(task, version=version, state=TaskState.CANCELLED, updated_at=at, finished_at=at)
    return task


def redriven(task: TaskImage, *, at: int, version: int) -> TaskImage:
    """dead or cancelled -> ready or waiting; the caller has made sure of state and dedupe key."""
    return replace(
        task,
        version=version,
        state=TaskState.WAITING if task.unmet else TaskState.READY,
        due_at=at,
        attempt=0,
        cancel_requested=False,
        updated_at=at,
        finished_at=None,
    )


def takeable(task: TaskImage, *, at: int) -> bool:
    """Whether a Take finds the task as a claim would."""
    return task.state is TaskState.READY or (task.state is TaskState.SCHEDULED and task.due_at <= at)


def prioritized(task: TaskImage, op: Prioritize, *, at: int, version: int) -> TaskImage:
    return replace(task, version=version, priority=op.priority, updated_at=at)


def promoted(task: TaskImage, *, at: int, version: int) -> TaskImage:
    """scheduled -> ready, its due instant has come."""
    return replace(task, version=version, state=TaskState.READY, updated_at=at)


def parent_completed(task: TaskImage, *, at: int, version: int) -> TaskImage:
    """One parent less to wait for; the last one sets a waiting child free."""
    unmet = task.unmet - 1
    state = task.state
    if state is TaskState.WAITING and not unmet:
        state = _runnable(task.due_at, at)
    return replace(task, version=version, state=state, unmet=unmet, updated_at=at)


def _runnable(due_at: int, at: int) -> TaskState:
    return TaskState.READY if due_at <= at else TaskState.SCHEDULED


def _unleased(task: TaskImage, state: TaskState, *, at: int, version: int) -> TaskImage:
    return replace(
        task,
        version=version,
        state=state,
        token=0,
        lease_until=None,
        worker=None,
        updated_at=at,
        finished_at=None if state in LIVE else at,
    )
