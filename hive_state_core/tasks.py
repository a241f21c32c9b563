"""Tasks: queues with priorities, delays, dependencies and dedupe keys, consumed under leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import cast

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from hive_state_core import codec, validate, watch
from hive_state_core import worker as working
from hive_state_core.backoff import DEFAULT_BACKOFF, Backoff
from hive_state_core.codec import Json
from hive_state_core.errors import InvalidArgument
from hive_state_core.features import Facility
from hive_state_core.ids import new_id
from hive_state_core.leases import Lease
from hive_state_core.limits import (
    CLAIM,
    SCAN_PAGE,
)
from hive_state_core.model import QueueRef, TaskImage, TaskRef, TaskState
from hive_state_core.paging import chunked, pages
from hive_state_core.roster import Roster
from hive_state_core.spi import (
    Batch,
    Cancel,
    Enqueued,
    Op,
    OpResult,
    Redrive,
    Scan,
    SetPaused,
    Take,
)
from hive_state_core.task_model import Task
from hive_state_core.task_ops import TaskOps, chunks, enqueue_op, prioritize_op, task_ref
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration
from hive_state_core.worker import Claims, Handler, claim_request

__all__ = ["Backoff", "Enqueued", "Lease", "Task", "TaskOps", "TaskState", "Tasks", "task_ref"]

States = Iterable[TaskState | str]

CHUNK = 200
"""Tasks of one commit when many are redriven."""


class Tasks:
    """`hive.tasks`. Every verb takes `timeout=` in seconds, see `Store`."""

    def __init__(self, trips: Trips, roster: Roster) -> None:
        self._trips = trips
        self._roster = roster

    async def enqueue(
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
        timeout: float | None = None,
    ) -> Enqueued:
        """Add a task; its id, and whether it was created.

        payload       JSON (see `codec`), or bytes, which come back as bytes
        priority      lower numbers are claimed first; among equals, what is due first, then the oldest
        delay         how long until it is due, and not claimed before
        max_attempts  claims that may fail or run out before the task is dead
        dedupe_key    if a live task of the queue has it, nothing is added: created=False and its id
        depends_on    ids of tasks that must be completed before; NotFound if one does not exist
        requires      capabilities that a claim must have, all of them
        id            if there is such a task, in whatever state, nothing is added: created=False
        """
        data, raw = codec.encode(payload)
        task_id = new_id() if id is None else id
        op = enqueue_op(
            task_id, queue, data, raw, priority, delay, max_attempts, dedupe_key, depends_on, requires
        )
        committed = await self._trips.commit(Batch((op,)), len(data), timeout)
        return cast(Enqueued, committed.results[0])

    async def enqueue_many(
        self,
        queue: str,
        payloads: Iterable[Json],
        *,
        priority: int = 5,
        delay: Duration = 0,
        max_attempts: int = 5,
        depends_on: Iterable[str] = (),
        requires: Iterable[str] = (),
        timeout: float | None = None,
    ) -> list[Enqueued]:
        """As `enqueue`, for each of the payloads, in their order.

        They travel in chunks of up to 1000 tasks and 32 MiB, one after the other, each of which is added
        whole or not at all: after an error the chunks before it are in the queue. Nothing is sent if
        one of the payloads is invalid. `timeout` holds for each chunk.
        """
        model = enqueue_op("-", queue, b"", False, priority, delay, max_attempts, None, depends_on, requires)
        encoded = [codec.encode(payload) for payload in validate.several(payloads, "payloads")]
        done: list[OpResult] = []
        for chunk, size in chunks(encoded):
            ops = [replace(model, ref=TaskRef(new_id()), payload=data, raw=raw) for data, raw in chunk]
            done += (await self._trips.commit(Batch(tuple(ops)), size, timeout)).results
        return cast("list[Enqueued]", done)

    async def claim(
        self,
        queue: str,
        *,
        worker: str,
        lease: Duration = 30,
        limit: int = 1,
        capabilities: Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> list[Lease]:
        """Up to `limit` tasks that are ready, in claim order; at once, even if there are none.

        lease         how long they are the worker's, unless it is extended; then others may claim them
        capabilities  a task that requires others is passed over; None = those of the registered agent
                      `worker`, if there is one (as they were up to 5 seconds ago)

        Nothing extends a lease before its `async with`: do not claim more than you begin soon. `work` and
        `consume` are the easier ways.
        """
        self._trips.require(Facility.TASKS)
        if capabilities is None:
            capabilities = self._roster.known_capabilities(validate.name(worker, "worker"))
            if capabilities is None:
                capabilities = await self._roster.capabilities(worker, timeout)
        request = claim_request(queue, worker, lease, limit, capabilities)
        return (await working.claim(self._trips, request, DEFAULT_BACKOFF, timeout)).leases

    async def take(
        self, id: str, *, worker: str, lease: Duration = 30, timeout: float | None = None
    ) -> Lease | None:
        """Claim that very task for `lease`, whatever stands before it, whatever it requires and though its
        queue be paused.

        None: it is not ready (leased, waiting, not due yet, ended), or there is none of that id.
        """
        op = Take(task_ref(id), validate.name(worker, "worker"), validate.duration(lease, "lease"))
        return await working.take(self._trips, op, DEFAULT_BACKOFF, timeout)

    async def complete(self, lease: Lease, result: Json = None, *, timeout: float | None = None) -> None:
        """The task is done, with `result` (None: with `lease.result`). Raises LeaseLost if the lease is
        not current any more, as the next three do."""
        await lease.finish(*lease.completion(result), timeout)

    async def fail(
        self,
        lease: Lease,
        error: str | BaseException,
        *,
        retry_in: Duration | UnsetType | None = UNSET,
        timeout: float | None = None,
    ) -> TaskState:
        """The attempt failed; the state of the task now.

        error     kept with the task; text that cannot be stored is mended, long text is cut
        retry_in  when to try again; None = never, the task is dead; by default the back-off of the
                  lease decides. When its attempts are used up the task is dead in any case
        """
        return cast(TaskState, await lease.finish(lease.failure(error, retry_in), 0, timeout))

    async def release(self, lease: Lease, *, delay: Duration = 0, timeout: float | None = None) -> TaskState:
        """Give the task back as if it had not been claimed: to its old place, or to wait for `delay`."""
        return cast(TaskState, await lease.finish(lease.giving_back(delay), 0, timeout))

    async def extend(
        self, lease: Lease, seconds: Duration | None = None, *, timeout: float | None = None
    ) -> None:
        """Let the lease run that long from now on (None: as long as it was claimed for); never shorter
        than it runs already. Refreshes `lease.lease_until` and `lease.cancel_requested`."""
        await lease.extend(seconds, timeout)

    async def cancel(self, id: str, *, timeout: float | None = None) -> TaskState | None:
        """Cancel a task that nobody works at; ask the one who does to stop (`lease.cancel_requested`).
        The state of the task now, None if there is none of that id."""
        return cast("TaskState | None", await self._do(Cancel(task_ref(id)), timeout))

    async def redrive(self, id: str, *, timeout: float | None = None) -> bool:
        """Let a dead or cancelled task be tried again, attempts counting anew. False: it is in another
        state, there is none, or another live task has its dedupe key by now."""
        return cast(bool, await self._do(Redrive(task_ref(id)), timeout))

    async def redrive_many(
        self, queue: str | None = None, *, states: States = ("dead",), timeout: float | None = None
    ) -> int:
        """Redrive the dead tasks of a queue, None = of all; how many that were. `states`: those to redrive,
        of dead and cancelled. They travel in chunks, so after an error some are redriven; do it again.
        `timeout` holds for each chunk."""
        query = replace(_scan(queue, states, False), values=False)
        done = 0
        async for chunk in chunked(pages(self._trips, query, timeout), CHUNK):
            batch = Batch(tuple([Redrive(cast(TaskRef, image.ref)) for image in chunk]))
            done += sum(cast("tuple[bool, ...]", (await self._trips.commit(batch, timeout=timeout)).results))
        return done

    async def prioritize(self, id: str, priority: int, *, timeout: float | None = None) -> bool:
        """Give a task that has not ended another priority, for the next claim; False: it has ended, or there
        is none of that id."""
        return cast(bool, await self._do(prioritize_op(id, priority), timeout))

    async def pause(self, queue: str, *, timeout: float | None = None) -> None:
        """Nothing is claimed from the queue until `resume`; leases that are out go on."""
        await self._do(SetPaused(QueueRef(validate.name(queue, "queue")), True), timeout)

    async def resume(self, queue: str, *, timeout: float | None = None) -> None:
        """Let it be claimed from again; nothing happens if it was not paused."""
        await self._do(SetPaused(QueueRef(validate.name(queue, "queue")), False), timeout)

    async def work(
        self,
        queue: str,
        handler: Handler,
        *,
        worker: str,
        concurrency: int = 10,
        lease: Duration = 30,
        backoff: Backoff = DEFAULT_BACKOFF,
        poll: Duration = 0.5,
        capabilities: Iterable[str] | None = None,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Consume the queue with up to `concurrency` calls of `await handler(lease)` at once.

        What the handler returns is the result of its task; if it raises, that is logged, and the task
        tried again after the back-off, until it is dead; see `Lease` for the rest.

        Runs until it is cancelled (running handlers are cancelled and their tasks released), `stop` is
        set (running handlers may finish) or the store is closed. A store that is not available is
        waited for. `poll` is the longest time between two looks into a queue that had nothing.
        `capabilities` as in `claim`. While it runs, the registered agent `worker`, if there is one, gives
        heartbeats.
        """
        validate.integer(concurrency, "concurrency", 1, CLAIM)
        claims = self._claims(queue, worker, lease, concurrency, capabilities, backoff)
        await working.work(claims, handler, poll=poll, stop=stop)

    def consume(
        self,
        queue: str,
        *,
        worker: str,
        lease: Duration = 30,
        backoff: Backoff = DEFAULT_BACKOFF,
        poll: Duration = 0.5,
        capabilities: Iterable[str] | None = None,
    ) -> AsyncGenerator[Lease, None]:
        """Leases, one at a time, without end: `async for lease in ...: async with lease: ...`.

        An exception of the block fails its task and goes on, so it ends the loop unless it is caught
        around the block. If the generator is closed before the block began, the lease is released. It
        waits as `work` does.
        """
        return working.consume(self._claims(queue, worker, lease, 1, capabilities, backoff), poll=poll)

    async def get(self, id: str, *, timeout: float | None = None) -> Task | None:
        """The task, or None if there is none of that id."""
        self._trips.require(Facility.TASKS)
        (image,) = await self._trips.read((task_ref(id),), timeout)
        return None if image is None else Task(cast(TaskImage, image))

    async def wait(self, id: str, *, timeout: float | None = None, poll: Duration = 0.5) -> Task:
        """Wait until the task is done, whoever does it: `task.state` says how it ended, `task.result` what it
        was completed with. After `timeout` seconds the task as it is then (`task.done` is False).

        Raises NotFound if there is none of that id. A store that is not available is waited for. `poll` is
        the longest time between two looks.
        """
        return await watch.wait_for_end(self._trips, task_ref(id), timeout, poll)

    async def cancellation(self, lease: Lease, *, poll: Duration = 1) -> None:
        """Return once somebody asked for the task's cancellation: let it race the work. Raises LeaseLost if
        the lease is not current any more. (`lease.cancel_requested` is refreshed by each extension of the
        lease too.)"""
        await watch.wait_for_cancel(self._trips, lease, poll)

    async def count(
        self, *, queue: str | None = None, states: States | None = None, timeout: float | None = None
    ) -> int:
        """How many `list` would give."""
        page = await self._trips.scan(replace(_scan(queue, states, False), count=True), timeout)
        return page.total or 0

    async def list(
        self,
        *,
        queue: str | None = None,
        states: States | None = None,
        reverse: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Task]:
        """Tasks in the order of their ids, which is roughly that of their enqueuing unless you gave ids
        yourself. None = of all queues, in all states."""
        async for image in pages(self._trips, _scan(queue, states, reverse), timeout):
            yield Task(cast(TaskImage, image))

    def _claims(
        self,
        queue: str,
        worker: str,
        lease: Duration,
        limit: int,
        capabilities: Iterable[str] | None,
        backoff: Backoff,
    ) -> Claims:
        request = claim_request(queue, worker, lease, limit, capabilities or ())
        return Claims(self._trips, self._roster, request, backoff, follow=capabilities is None)

    async def _do(self, op: Op, timeout: float | None) -> OpResult:
        return (await self._trips.commit(Batch((op,)), timeout=timeout)).results[0]


def _scan(queue: str | None, states: States | None, reverse: bool) -> Scan:
    within = None if queue is None else validate.name(queue, "queue")
    wanted = None if states is None else _states(states)
    return Scan(kind="task", within=within, states=wanted, reverse=reverse, limit=SCAN_PAGE // 4)


def _states(states: States) -> frozenset[TaskState]:
    try:
        return frozenset([TaskState(each) for each in ([states] if isinstance(states, str) else states)])
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"states must be among {[state.value for state in TaskState]}") from error
