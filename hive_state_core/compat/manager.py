"""What the managers share: the original's verbs, over a store that is opened when it is first used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import Any, Self, cast

from msgspec import UNSET
from msgspec.structs import replace

from hive_state_core import validate
from hive_state_core.agent_model import Agent, agent_ref, changes_of, put_new
from hive_state_core.choosing import Choice
from hive_state_core.codec import Json
from hive_state_core.compat.upkeep import clean_up, system_state
from hive_state_core.compat.values import (
    AgentState,
    SystemState,
    TaskState,
    agent_fields,
    agent_state,
    task_state,
)
from hive_state_core.compat.work import Work, now
from hive_state_core.errors import Conflict, HiveStateError, InvalidArgument, NotFound, SchemaMismatch
from hive_state_core.leases import Lease
from hive_state_core.legacy_model import MAX_ATTEMPTS, QUEUE, STATES, Note
from hive_state_core.locks import this_process
from hive_state_core.model import TaskState as State
from hive_state_core.spi import Batch, Retention
from hive_state_core.store import Store, open_store
from hive_state_core.task_model import Task
from hive_state_core.validate import Duration

FULL_CONTEXT = 0.8
"""Context usage from which on a checkpoint is advised."""

TRIES = 20
"""Rounds of read and compare-and-set of one agent."""


class Manager:
    """Opens its store when it is first used. It belongs to the event loop that did so; when that has ended
    (as after `asyncio.run`), the next use opens it again."""

    _connected = "database_connected"
    """What `health_check` calls it that the store answers."""

    def __init__(self, where: str | Choice, retention: Retention | None = None) -> None:
        self._where = where
        self._retention = retention
        self._hive: Store | None = None
        self._work: Work | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    # --- opening and closing

    async def initialize(self) -> bool:
        """Open the store now rather than at the first use. True, or an error."""
        await self._store()
        return True

    async def shutdown(self) -> bool:
        """Write a checkpoint named "shutdown", then close."""
        await self.create_checkpoint(
            "shutdown", dict(vars(await self.get_system_state()) | {"last_checkpoint": None})
        )
        await self.close()
        return True

    async def close(self) -> None:
        """Give back the tasks that this process still holds, and close. The next use opens it again."""
        hive, work, self._hive, self._work = self._hive, self._work, None, None
        if hive is not None and work is not None:
            await work.holds.close()
            await hive.close()

    async def __aenter__(self) -> Self:
        await self._store()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _store(self) -> Store:
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop and self._loop.is_closed():
            self._hive, self._work, self._opening = None, None, asyncio.Lock()  # nothing can be closed there
        if self._hive is None:
            async with self._opening:
                if self._hive is None:
                    hive = await self._open()
                    self._hive, self._work = hive, Work(hive)
                    self._loop = loop
        elif self._loop is not loop:
            raise InvalidArgument(
                f"this {type(self).__name__} is open on another event loop; close() it there first"
            )
        return self._hive

    async def _tasks(self) -> Work:
        await self._store()
        return cast(Work, self._work)

    async def _open(self) -> Store:
        hive = self._unopened()
        try:
            await hive.open()
        except SchemaMismatch as error:
            if error.found is not None:
                raise
            return await self._prepare(error)
        return hive

    def _unopened(self) -> Store:
        return open_store(self._where, retention=self._retention)

    async def _prepare(self, error: SchemaMismatch) -> Store:
        """The store, where there is none yet."""
        raise error

    async def _with_schema(self) -> Store:
        """The store, open, its schema being made first."""
        hive = self._unopened()
        await hive.upgrade_schema()
        await hive.open()
        return hive

    # --- agents

    async def register_agent(self, agent_id: str, capabilities: list[str] | None = None) -> bool:
        """Add the agent, idle. One that is there becomes idle, gets the capabilities if some are given, and
        keeps all else."""
        hive = await self._store()
        try:
            await hive.agents.update(
                agent_id, status="idle", capabilities=UNSET if capabilities is None else capabilities
            )
        except NotFound:
            await hive.agents.register(agent_id, capabilities=capabilities or (), offline_after=None)
        return True

    async def update_agent_state(
        self,
        agent_id: str,
        status: str | None = None,
        context_usage: float | None = None,
        current_task_id: str | None = None,
    ) -> bool:
        """Set what is given; current_task_id "" clears it. False: there is no such agent."""
        changes: dict[str, Any] = {"status": status, "context_usage": context_usage}
        changes = {name: value for name, value in changes.items() if value is not None}
        if current_task_id is not None:
            changes["current_task"] = current_task_id or None
        hive = await self._store()
        try:
            await hive.agents.update(agent_id, **changes)
        except NotFound:
            return False
        return True

    async def set_agent_state(
        self, agent_id: str, state: AgentState | Mapping[str, Any], ttl: Duration | None = None
    ) -> bool:
        """Write the whole agent, whatever was there. `ttl`: in seconds; it is gone by then, unless it is
        written again (an update without a ttl makes it stay). Fields of a mapping that an AgentState does not
        have are kept in the agent's metadata."""
        put, size = put_new(agent_ref(agent_id), changes_of(**agent_fields(state)))
        put = replace(put, ttl=validate.optional_duration(ttl, "ttl"))
        hive = await self._store()
        await hive._trips.commit(Batch((put,)), size)
        return True

    async def get_agent_state(self, agent_id: str) -> AgentState | None:
        """The agent as it is in the store."""
        hive = await self._store()
        agent = await hive.agents.get(agent_id)
        return None if agent is None else agent_state(agent)

    # --- tasks

    async def add_task(
        self, task_id: str, priority: int = 5, metadata: dict[str, Json] | None = None
    ) -> bool:
        """Add a task. False: there is one of that id, in whatever state, and it stays as it is."""
        hive = await self._store()
        added = await hive.tasks.enqueue(
            QUEUE, metadata or {}, id=task_id, priority=priority, max_attempts=MAX_ATTEMPTS
        )
        return added.created

    async def get_task_state(self, task_id: str) -> TaskState | None:
        """The task as it is in the store."""
        found = await (await self._tasks()).read(task_id)
        return None if found is None else task_state(*found)

    async def update_task_state(
        self,
        task_id: str,
        status: str | None = None,
        agent_id: str | None = None,
        priority: int | None = None,
    ) -> bool:
        """Set what is given. False: there is no such task, it has ended, or others hold it."""
        if status is not None and status not in STATES:
            raise InvalidArgument(f"status must be one of {', '.join(STATES)}")
        hive, work = await self._store(), await self._tasks()
        found = await work.read(task_id)
        if found is None or (priority is not None and not await hive.tasks.prioritize(task_id, priority)):
            return False
        task, note = found
        if agent_id is not None:
            note = replace(note, agent_id=agent_id)
        match status:
            case None:
                await work.write_note(task_id, note)
                return True
            case "pending":
                return await work.reopen(task, note)
            case "assigned" | "in_progress":
                started = note.started_at or (now() if status == "in_progress" else None)
                return await work.begin(task, replace(note, status=status, started_at=started))
            case _:
                return await self._end(task, note, status == "completed")

    async def get_next_priority_task(self) -> TaskState | None:
        """Claim the most urgent pending task: no other agent gets it. It is given back unless it is assigned
        (`assign_task`, or a status set) within half a minute."""
        found = await (await self._tasks()).claim()
        return None if found is None else task_state(*found)

    async def assign_task(self, task_id: str, agent_id: str) -> bool:
        """Give a pending task, or one that this process holds, to an agent, which becomes "working" at it if
        it is registered. False: there is no such task, it has ended, or others hold it."""
        work = await self._tasks()
        found = await work.read(task_id)
        if found is None:
            return False
        task, note = found
        if task.state is State.LEASED and work.holds.get(task_id) is None:
            return False
        note = replace(note, agent_id=agent_id, status="assigned", started_at=note.started_at or now())
        if not await work.begin(task, note):
            return False
        await self._change_agent(agent_id, None, status="working", current_task=task_id)
        return True

    async def complete_task(self, task_id: str, success: bool = True) -> bool:
        """The task is completed, or has failed for good; its agent is idle again. False: there is no such
        task, it has ended, or it was taken away from this process."""
        found = await (await self._tasks()).read(task_id)
        return found is not None and await self._end(*found, success)

    async def _end(self, task: Task, note: Note, success: bool) -> bool:
        if not await (await self._tasks()).end(task, note, success):
            return False
        if note.agent_id is not None:
            await self._change_agent(note.agent_id, task.id, status="idle", current_task=None)
        return True

    async def queue_task(self, task_data: Mapping[str, Json]) -> str:
        """Add a task with these data as its payload; its id. `task_id` and `priority` of the data are its
        own. A task of that id that exists stays as it is."""
        hive = await self._store()
        id, priority = task_data.get("task_id"), task_data.get("priority", 5)
        added = await hive.tasks.enqueue(
            QUEUE, dict(task_data), id=id, priority=priority, max_attempts=MAX_ATTEMPTS
        )
        return added.id

    async def consume_tasks(
        self, consumer_name: str | None = None, **options: Any
    ) -> AsyncGenerator[Lease, None]:
        """Leases without end: `async for lease in manager.consume_tasks("worker-1"): async with lease: ...`;
        see `Tasks.consume`, which takes the other options. `lease.payload` has the data."""
        hive = await self._store()
        async for lease in hive.tasks.consume(QUEUE, worker=consumer_name or this_process(), **options):
            yield lease

    # --- the system

    async def get_system_state(self) -> SystemState:
        return await system_state(await self._store())

    async def get_performance_metrics(self) -> dict[str, Any]:
        """The fields of the system's state, and `success_rate`: of the ended tasks, in percent."""
        state = await self.get_system_state()
        return {**vars(state), "success_rate": 100 * state.quality_score}

    async def health_check(self) -> dict[str, Any]:
        """Whether the store answers: `database_connected`, `status` (ok, warn or fail), the sentences of the
        checks that are not ok, and `error`, None if it answers. Never raises for a store that does not."""
        try:
            health = await (await self._store()).health()
        except HiveStateError as error:
            return {self._connected: False, "status": "fail", "warnings": [], "error": str(error)}
        return {
            self._connected: health.error is None,
            "status": health.status,
            "warnings": [check.sentence for check in health.checks if check.status != "ok"],
            "error": None if health.error is None else str(health.error),
        }

    # --- checkpoints

    async def create_checkpoint(
        self, checkpoint_name: str, data: dict[str, Json] | None = None, agent_id: str | None = None
    ) -> str:
        """Add a checkpoint; "checkpoint_" and its number, which counts in each name. `agent_id` goes into the
        data."""
        hive = await self._store()
        kept = dict(data or {})
        if agent_id is not None:
            kept["agent_id"] = agent_id
        return f"checkpoint_{(await hive.checkpoints.save(checkpoint_name, kept)).seq}"

    async def get_checkpoint(self, checkpoint_name: str) -> Json | None:
        """The data of the newest one of that name."""
        hive = await self._store()
        found = await hive.checkpoints.latest(checkpoint_name)
        return None if found is None else found.data

    async def should_create_checkpoint(self, agent_id: str) -> tuple[bool, str]:
        """Whether the agent's context is filled to 0.8 or more, and a sentence that says so."""
        agent = await self.get_agent_state(agent_id)
        if agent is None:
            return False, f"agent {agent_id!r} is not registered"
        usage = f"context usage is {agent.context_usage:.0%}"
        return agent.context_usage >= FULL_CONTEXT, f"{usage}, a checkpoint is due from {FULL_CONTEXT:.0%} on"

    async def cleanup_old_data(self, days_to_keep: float = 30) -> bool:
        """Remove what ended, and snapshots that were made, more than that many days ago; keep the newest 10
        checkpoints of each name. Tasks of every queue of the store are meant, not only those of a manager."""
        await clean_up(await self._store(), timedelta(days=days_to_keep))
        return True

    async def _change_agent(self, agent_id: str, at_task: str | None, **changes: Any) -> None:
        """If there is such an agent, and (unless None) it is at that task."""
        hive = await self._store()
        for _ in range(TRIES):
            agent: Agent | None = await hive.agents.get(agent_id)
            if agent is None or (at_task is not None and agent.current_task != at_task):
                return
            try:
                await hive.agents.update(agent, **changes)
            except Conflict:
                continue
            return
