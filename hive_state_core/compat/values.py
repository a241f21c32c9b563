"""The values that the original hive's managers hand back and take, under their original names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from hive_state_core.agent_model import Agent
from hive_state_core.legacy_model import METRICS, STATES, Note, status_of
from hive_state_core.task_model import Task


@dataclass
class AgentState:
    """An agent; `last_activity` is naive and local, as in the original."""

    agent_id: str
    status: str = "idle"
    current_task_id: str | None = None
    context_usage: float = 0.0
    last_activity: datetime = field(default_factory=datetime.now)
    capabilities: list[str] = field(default_factory=list)
    performance_metrics: dict[str, Any] = field(default_factory=dict)


@dataclass
class TaskState:
    """A task; all times are naive and local, as in the original. `status` is one of pending, assigned,
    in_progress, completed and failed."""

    task_id: str
    status: str = "pending"
    agent_id: str | None = None
    priority: int = 5
    created_at: datetime = field(default_factory=datetime.now)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class SystemState:
    """Counts at one moment. `quality_score` is the share of ended tasks that were completed, from 0 to 1 (0.0
    if none has ended); `last_checkpoint` when the newest one of any name was made."""

    total_agents: int = 0
    active_agents: int = 0
    total_tasks: int = 0
    completed_tasks: int = 0
    failed_tasks: int = 0
    average_context_usage: float = 0.0
    quality_score: float = 0.0
    last_checkpoint: datetime | None = None


@dataclass
class PostgreSQLConfig:
    """Where the PostgreSQL server is. `password` None: that of the environment (PGPASSWORD, a passfile);
    `command_timeout` is in seconds."""

    host: str = "localhost"
    port: int = 5432
    database: str = "agent_hive"
    username: str = "agent_hive"
    password: str | None = field(default=None, repr=False)
    min_connections: int = 5
    max_connections: int = 20
    command_timeout: float = 10.0

    def url(self) -> str:
        """As `open_store` takes it. It holds the password."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        options = {
            "min_connections": self.min_connections,
            "max_connections": self.max_connections,
            "command_timeout": f"{self.command_timeout:g}",
        }
        place = f"{quote(self.username, safe='')}{secret}@{self.host}:{self.port}"
        return f"postgres://{place}/{quote(self.database, safe='')}?{urlencode(options)}"


@dataclass
class RedisConfig:
    """Where the Redis or Valkey server is. `command_timeout` is in seconds.

    default_ttl    in seconds, of agents that `set_agent_state` writes without a ttl; None: they stay
    stream_maxlen  how many events are kept in each stream; None: all. Those that a group has not finished
                   are kept in any case, and tasks are not events
    """

    host: str = "localhost"
    port: int = 6379
    password: str | None = field(default=None, repr=False)
    db: int = 0
    username: str | None = None
    max_connections: int = 20
    command_timeout: float = 10.0
    default_ttl: float | None = None
    stream_maxlen: int | None = None

    def url(self) -> str:
        """As `open_store` takes it. It holds the password."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        login = quote(self.username or "", safe="") + secret
        options = {"max_connections": self.max_connections, "command_timeout": f"{self.command_timeout:g}"}
        place = f"{login}@{self.host}" if login else self.host
        return f"redis://{place}:{self.port}/{self.db}?{urlencode(options)}"


def local(instant: datetime) -> datetime:
    """Naive, in the zone of this process."""
    return instant.astimezone().replace(tzinfo=None)


def optional_local(instant: datetime | None) -> datetime | None:
    return None if instant is None else local(instant)


def agent_state(agent: Agent) -> AgentState:
    metrics = agent.metadata.get(METRICS)
    return AgentState(
        agent_id=agent.id,
        status=agent.status,
        current_task_id=agent.current_task,
        context_usage=agent.context_usage or 0.0,
        last_activity=local(agent.seen_at),
        capabilities=list(agent.capabilities),
        performance_metrics=metrics if isinstance(metrics, dict) else {},
    )


def task_state(task: Task, note: Note | None) -> TaskState:
    """`metadata` is the payload, or {"payload": it} of a task of ordinary code whose payload is no object."""
    started = note.started_at if note else None
    told = note is not None and STATES.get(note.status) is task.state  # else ordinary code was at work since
    payload = task.payload
    return TaskState(
        task_id=task.id,
        status=status_of(task.state, note),
        agent_id=note.agent_id if note is not None and (told or not task.worker) else task.worker,
        priority=task.priority,
        created_at=local(task.created_at),
        started_at=optional_local(started),
        completed_at=optional_local(task.finished_at),
        metadata=payload if isinstance(payload, dict) else {"payload": payload},
    )


def agent_fields(state: AgentState | Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an agent that the state tells, under our names. What the original has no field for is
    kept in the metadata."""
    given = dict(vars(state) if isinstance(state, AgentState) else state)
    for ours in ("agent_id", "last_activity"):  # the key, and the store's own clock
        given.pop(ours, None)
    fields: dict[str, Any] = {
        "status": given.pop("status", "idle"),
        "current_task": given.pop("current_task_id", None) or None,
        "context_usage": given.pop("context_usage", None),
        "capabilities": given.pop("capabilities", None) or (),
    }
    metrics = given.pop("performance_metrics", None)
    return {**fields, "metadata": given | ({METRICS: metrics} if metrics else {})}
