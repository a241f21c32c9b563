"""The types of `hive_state_core.sync`. Made by tests/unit/make_sync_stub.py; do not edit."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from msgspec import UnsetType

from hive_state_core import spi
from hive_state_core.agent_model import Agent
from hive_state_core.backoff import Backoff
from hive_state_core.checkpoints import Checkpoint
from hive_state_core.choosing import Choice
from hive_state_core.codec import Json
from hive_state_core.config import Config
from hive_state_core.event_ops import Start
from hive_state_core.features import Features
from hive_state_core.health import Health, Thresholds
from hive_state_core.locks import Holder
from hive_state_core.model import GroupRef, Scalar, TaskState
from hive_state_core.pending import PendingEvent
from hive_state_core.record_model import Change, Record, RecordPage
from hive_state_core.record_ops import Ttl
from hive_state_core.retention import Retention
from hive_state_core.sessions import Session
from hive_state_core.spi import Enqueued, Finding, SchemaInfo, Swept, Trimmed
from hive_state_core.stats import StoreStats
from hive_state_core.subscription import Event
from hive_state_core.task_model import Task
from hive_state_core.tasks import States
from hive_state_core.telemetry import Measured, Telemetry
from hive_state_core.unit import Pending
from hive_state_core.url import StoreURL
from hive_state_core.validate import Duration, IndexValues

T_co = TypeVar("T_co", covariant=True)

class Iteration(Iterator[T_co]):
    def __next__(self) -> T_co: ...
    def close(self) -> None: ...

class KeptAlive:
    ended: bool
    lost: bool

class Held(KeptAlive):
    def extend(self, seconds: Duration | None = ..., timeout: float | None = ...) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class Lease(KeptAlive):
    task: Task
    id: str
    attempt: int
    token: int
    cancel_requested: bool

    @property
    def payload(self) -> Json: ...
    @property
    def lease_until(self) -> datetime: ...
    @property
    def result(self) -> Json: ...
    @result.setter
    def result(self, value: Json) -> None: ...
    def extend(self, seconds: Duration | None = ..., timeout: float | None = ...) -> datetime: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class Lock(Held):
    name: str
    owner: str
    fencing_token: int

class Locks:
    def acquire(
        self,
        name: str,
        *,
        ttl: Duration = ...,
        owner: str | None = ...,
        wait: Duration | None = ...,
        timeout: float | None = ...,
    ) -> AbstractContextManager[Lock]: ...
    def try_acquire(
        self, name: str, *, ttl: Duration = ..., owner: str | None = ..., timeout: float | None = ...
    ) -> Lock | None: ...
    def extend(self, lock: Lock, *, timeout: float | None = ...) -> None: ...
    def release(self, lock: Lock, *, timeout: float | None = ...) -> bool: ...
    def holder(self, name: str, *, timeout: float | None = ...) -> Holder | None: ...

class LockOps:
    def expect(self, lock: Lock) -> None: ...

class Delivery(Held):
    event: Event
    ref: GroupRef
    token: int
    attempt: int

    @property
    def body(self) -> Json: ...
    @property
    def seq(self) -> int: ...

class Records:
    def get(
        self, collection: str, key: str, *, fresh: bool = ..., timeout: float | None = ...
    ) -> Record | None: ...
    def get_many(
        self, collection: str, keys: Iterable[str], *, timeout: float | None = ...
    ) -> list[Record | None]: ...
    def put(
        self,
        collection: str,
        key: str,
        value: Json,
        *,
        ttl: Ttl = ...,
        keep_ttl: bool = ...,
        index: IndexValues | None = ...,
        if_version: int | None = ...,
        if_absent: bool = ...,
        timeout: float | None = ...,
    ) -> int: ...
    def put_many(
        self, collection: str, values: Mapping[str, Json], *, ttl: Ttl = ..., timeout: float | None = ...
    ) -> int | None: ...
    def delete(
        self, collection: str, key: str, *, if_version: int | None = ..., timeout: float | None = ...
    ) -> bool: ...
    def delete_many(self, collection: str, keys: Iterable[str], *, timeout: float | None = ...) -> int: ...
    def touch(self, collection: str, key: str, *, ttl: Ttl, timeout: float | None = ...) -> bool: ...
    def list(
        self,
        collection: str,
        *,
        prefix: str = ...,
        start: str | None = ...,
        stop: str | None = ...,
        where: Mapping[str, Scalar] | None = ...,
        reverse: bool = ...,
        timeout: float | None = ...,
    ) -> Iteration[Record]: ...
    def page(
        self,
        collection: str,
        *,
        prefix: str = ...,
        start: str | None = ...,
        stop: str | None = ...,
        where: Mapping[str, Scalar] | None = ...,
        reverse: bool = ...,
        limit: int = ...,
        cursor: str | None = ...,
        timeout: float | None = ...,
    ) -> RecordPage: ...
    def count(
        self,
        collection: str,
        *,
        prefix: str = ...,
        start: str | None = ...,
        stop: str | None = ...,
        where: Mapping[str, Scalar] | None = ...,
        timeout: float | None = ...,
    ) -> int: ...
    def watch(
        self, collection: str, key: str | None = ..., *, prefix: str = ..., poll: Duration = ...
    ) -> Iteration[Change]: ...

class RecordOps:
    def put(
        self,
        collection: str,
        key: str,
        value: Json,
        *,
        ttl: Ttl = ...,
        keep_ttl: bool = ...,
        index: IndexValues | None = ...,
        if_version: int | None = ...,
        if_absent: bool = ...,
    ) -> Pending[int]: ...
    def delete(self, collection: str, key: str, *, if_version: int | None = ...) -> Pending[bool]: ...
    def touch(self, collection: str, key: str, *, ttl: Ttl) -> Pending[bool]: ...
    def expect(self, collection: str, key: str, *, version: int | None) -> None: ...

class Agents:
    def register(
        self,
        id: str,
        *,
        capabilities: Iterable[str] = ...,
        status: str = ...,
        metadata: dict[str, Json] | None = ...,
        offline_after: Duration | None = ...,
        timeout: float | None = ...,
    ) -> Agent: ...
    def update(
        self,
        agent: Agent | str,
        *,
        status: str | UnsetType = ...,
        current_task: str | UnsetType | None = ...,
        capabilities: Iterable[str] | UnsetType = ...,
        context_usage: float | UnsetType | None = ...,
        metadata: dict[str, Json] | UnsetType = ...,
        if_version: int | None = ...,
        timeout: float | None = ...,
    ) -> Agent: ...
    def remove(self, agent: Agent | str, *, timeout: float | None = ...) -> bool: ...
    def heartbeat(self, id: str, *, timeout: float | None = ...) -> None: ...
    def get(self, id: str, *, timeout: float | None = ...) -> Agent | None: ...
    def get_many(self, ids: Iterable[str], *, timeout: float | None = ...) -> list[Agent | None]: ...
    def list(
        self, *, status: str | None = ..., capability: str | None = ..., timeout: float | None = ...
    ) -> Iteration[Agent]: ...

class AgentOps:
    def register(
        self,
        id: str,
        *,
        capabilities: Iterable[str] = ...,
        status: str = ...,
        metadata: dict[str, Json] | None = ...,
        offline_after: Duration | None = ...,
    ) -> Pending[Agent]: ...
    def update(
        self,
        agent: Agent,
        *,
        status: str | UnsetType = ...,
        current_task: str | UnsetType | None = ...,
        capabilities: Iterable[str] | UnsetType = ...,
        context_usage: float | UnsetType | None = ...,
        metadata: dict[str, Json] | UnsetType = ...,
    ) -> Pending[Agent]: ...

class Tasks:
    def enqueue(
        self,
        queue: str,
        payload: Json,
        *,
        priority: int = ...,
        delay: Duration = ...,
        max_attempts: int = ...,
        dedupe_key: str | None = ...,
        depends_on: Iterable[str] = ...,
        requires: Iterable[str] = ...,
        id: str | None = ...,
        timeout: float | None = ...,
    ) -> Enqueued: ...
    def enqueue_many(
        self,
        queue: str,
        payloads: Iterable[Json],
        *,
        priority: int = ...,
        delay: Duration = ...,
        max_attempts: int = ...,
        depends_on: Iterable[str] = ...,
        requires: Iterable[str] = ...,
        timeout: float | None = ...,
    ) -> list[Enqueued]: ...
    def claim(
        self,
        queue: str,
        *,
        worker: str,
        lease: Duration = ...,
        limit: int = ...,
        capabilities: Iterable[str] | None = ...,
        timeout: float | None = ...,
    ) -> list[Lease]: ...
    def take(
        self, id: str, *, worker: str, lease: Duration = ..., timeout: float | None = ...
    ) -> Lease | None: ...
    def complete(self, lease: Lease, result: Json = ..., *, timeout: float | None = ...) -> None: ...
    def fail(
        self,
        lease: Lease,
        error: str | BaseException,
        *,
        retry_in: Duration | UnsetType | None = ...,
        timeout: float | None = ...,
    ) -> TaskState: ...
    def release(self, lease: Lease, *, delay: Duration = ..., timeout: float | None = ...) -> TaskState: ...
    def extend(
        self, lease: Lease, seconds: Duration | None = ..., *, timeout: float | None = ...
    ) -> None: ...
    def cancel(self, id: str, *, timeout: float | None = ...) -> TaskState | None: ...
    def redrive(self, id: str, *, timeout: float | None = ...) -> bool: ...
    def redrive_many(
        self, queue: str | None = ..., *, states: States = ..., timeout: float | None = ...
    ) -> int: ...
    def prioritize(self, id: str, priority: int, *, timeout: float | None = ...) -> bool: ...
    def pause(self, queue: str, *, timeout: float | None = ...) -> None: ...
    def resume(self, queue: str, *, timeout: float | None = ...) -> None: ...
    def work(
        self,
        queue: str,
        handler: Callable[[Lease], Json | None],
        *,
        worker: str,
        concurrency: int = ...,
        lease: Duration = ...,
        backoff: Backoff = ...,
        poll: Duration = ...,
        capabilities: Iterable[str] | None = ...,
        stop: threading.Event | None = ...,
    ) -> None: ...
    def consume(
        self,
        queue: str,
        *,
        worker: str,
        lease: Duration = ...,
        backoff: Backoff = ...,
        poll: Duration = ...,
        capabilities: Iterable[str] | None = ...,
    ) -> Iteration[Lease]: ...
    def get(self, id: str, *, timeout: float | None = ...) -> Task | None: ...
    def wait(self, id: str, *, timeout: float | None = ..., poll: Duration = ...) -> Task: ...
    def cancellation(self, lease: Lease, *, poll: Duration = ...) -> None: ...
    def count(
        self, *, queue: str | None = ..., states: States | None = ..., timeout: float | None = ...
    ) -> int: ...
    def list(
        self,
        *,
        queue: str | None = ...,
        states: States | None = ...,
        reverse: bool = ...,
        timeout: float | None = ...,
    ) -> Iteration[Task]: ...

class TaskOps:
    def enqueue(
        self,
        queue: str,
        payload: Json,
        *,
        priority: int = ...,
        delay: Duration = ...,
        max_attempts: int = ...,
        dedupe_key: str | None = ...,
        depends_on: Iterable[str] = ...,
        requires: Iterable[str] = ...,
        id: str | None = ...,
    ) -> Pending[Enqueued]: ...
    def complete(self, lease: Lease, result: Json = ...) -> Pending[None]: ...
    def fail(
        self, lease: Lease, error: str | BaseException, *, retry_in: Duration | UnsetType | None = ...
    ) -> Pending[TaskState]: ...
    def release(self, lease: Lease, *, delay: Duration = ...) -> Pending[TaskState]: ...
    def cancel(self, id: str) -> Pending[TaskState | None]: ...
    def redrive(self, id: str) -> Pending[bool]: ...
    def prioritize(self, id: str, priority: int) -> Pending[bool]: ...
    def expect(self, lease: Lease) -> None: ...

class Sessions:
    def set(
        self,
        id: str,
        value: Json,
        *,
        ttl: Duration,
        if_version: int | None = ...,
        if_absent: bool = ...,
        timeout: float | None = ...,
    ) -> int: ...
    def get(self, id: str, *, fresh: bool = ..., timeout: float | None = ...) -> Session | None: ...
    def touch(self, id: str, *, ttl: Duration, timeout: float | None = ...) -> bool: ...
    def delete(self, id: str, *, timeout: float | None = ...) -> bool: ...
    def list(self, *, prefix: str = ..., timeout: float | None = ...) -> Iteration[Session]: ...
    def count(self, *, prefix: str = ..., timeout: float | None = ...) -> int: ...

class SessionOps:
    def set(
        self, id: str, value: Json, *, ttl: Duration, if_version: int | None = ..., if_absent: bool = ...
    ) -> Pending[int]: ...
    def touch(self, id: str, *, ttl: Duration) -> Pending[bool]: ...
    def delete(self, id: str) -> Pending[bool]: ...

class Events:
    def publish(self, stream: str, body: Json, *, timeout: float | None = ...) -> int: ...
    def publish_many(
        self, stream: str, bodies: Iterable[Json], *, timeout: float | None = ...
    ) -> list[int]: ...
    def read(
        self,
        stream: str,
        *,
        start: int | None = ...,
        limit: int = ...,
        reverse: bool = ...,
        timeout: float | None = ...,
    ) -> list[Event]: ...
    def follow(self, stream: str, *, start: int | None = ..., poll: Duration = ...) -> Iteration[Event]: ...
    def create_group(
        self,
        stream: str,
        group: str,
        *,
        start: Start = ...,
        max_deliveries: int = ...,
        timeout: float | None = ...,
    ) -> bool: ...
    def claim(
        self,
        stream: str,
        group: str,
        *,
        consumer: str | None = ...,
        lease: Duration = ...,
        limit: int = ...,
        timeout: float | None = ...,
    ) -> list[Delivery]: ...
    def ack(self, *deliveries: Delivery, timeout: float | None = ...) -> None: ...
    def nack(
        self,
        *deliveries: Delivery,
        error: str | BaseException,
        retry_in: Duration | UnsetType | None = ...,
        timeout: float | None = ...,
    ) -> None: ...
    def release(self, *deliveries: Delivery, timeout: float | None = ...) -> None: ...
    def extend(
        self, delivery: Delivery, seconds: Duration | None = ..., *, timeout: float | None = ...
    ) -> None: ...
    def seek(self, stream: str, group: str, start: Start, *, timeout: float | None = ...) -> None: ...
    def drop_group(self, stream: str, group: str, *, timeout: float | None = ...) -> bool: ...
    def lag(self, stream: str, group: str, *, timeout: float | None = ...) -> int: ...
    def pending(
        self, stream: str, group: str, *, dead: bool | None = ..., timeout: float | None = ...
    ) -> Iteration[PendingEvent]: ...
    def redrive(self, stream: str, group: str, *seqs: int, timeout: float | None = ...) -> None: ...
    def discard(self, stream: str, group: str, *seqs: int, timeout: float | None = ...) -> None: ...
    def trim(
        self,
        stream: str,
        *,
        keep: int | None = ...,
        first: int | None = ...,
        force: bool = ...,
        dry_run: bool = ...,
        timeout: float | None = ...,
    ) -> Trimmed: ...
    def drop(self, stream: str, *, timeout: float | None = ...) -> bool: ...
    def consume(
        self,
        stream: str,
        *,
        group: str,
        consumer: str | None = ...,
        lease: Duration = ...,
        start: Start = ...,
        max_deliveries: int = ...,
        create: bool = ...,
        backoff: Backoff = ...,
        poll: Duration = ...,
    ) -> Iteration[Delivery]: ...
    def subscribe(
        self,
        stream: str,
        *,
        group: str,
        consumer: str | None = ...,
        lease: Duration = ...,
        prefetch: int = ...,
        start: Start = ...,
        max_deliveries: int = ...,
        create: bool = ...,
        backoff: Backoff = ...,
        poll: Duration = ...,
    ) -> Iteration[Event]: ...

class EventOps:
    def publish(self, stream: str, body: Json) -> Pending[int]: ...
    def ack(self, *deliveries: Delivery) -> Pending[None]: ...
    def nack(
        self, *deliveries: Delivery, error: str | BaseException, retry_in: Duration | UnsetType | None = ...
    ) -> Pending[None]: ...

class Checkpoints:
    def save(
        self, name: str, data: Json, *, metadata: dict[str, Json] | None = ..., timeout: float | None = ...
    ) -> Checkpoint: ...
    def latest(self, name: str, *, timeout: float | None = ...) -> Checkpoint | None: ...
    def get(self, name: str, seq: int, *, timeout: float | None = ...) -> Checkpoint | None: ...
    def list(
        self, name: str, *, limit: int | None = ..., reverse: bool = ..., timeout: float | None = ...
    ) -> Iteration[Checkpoint]: ...
    def names(self, *, timeout: float | None = ...) -> Iteration[str]: ...
    def prune(self, name: str, *, keep: int = ..., timeout: float | None = ...) -> int: ...
    def delete(self, name: str, *, timeout: float | None = ...) -> bool: ...
    def snapshot(
        self, data: Json, *, metadata: dict[str, Json] | None = ..., timeout: float | None = ...
    ) -> Checkpoint: ...
    def snapshots(
        self, *, limit: int | None = ..., reverse: bool = ..., timeout: float | None = ...
    ) -> Iteration[Checkpoint]: ...
    def prune_snapshots(self, *, keep: int = ..., timeout: float | None = ...) -> int: ...

class CheckpointOps:
    def save(
        self, name: str, data: Json, *, metadata: dict[str, Json] | None = ...
    ) -> Pending[Checkpoint]: ...
    def snapshot(self, data: Json, *, metadata: dict[str, Json] | None = ...) -> Pending[Checkpoint]: ...

class Unit:
    commit_id: str | None

    @property
    def records(self) -> RecordOps: ...
    @property
    def agents(self) -> AgentOps: ...
    @property
    def tasks(self) -> TaskOps: ...
    @property
    def sessions(self) -> SessionOps: ...
    @property
    def locks(self) -> LockOps: ...
    @property
    def events(self) -> EventOps: ...
    @property
    def checkpoints(self) -> CheckpointOps: ...
    @property
    def version(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def commit(self) -> None: ...

class Store:
    records: Records
    agents: Agents
    tasks: Tasks
    sessions: Sessions
    locks: Locks
    events: Events
    checkpoints: Checkpoints
    backend: str
    url: StoreURL
    retention: Retention

    @property
    def features(self) -> Features: ...
    @property
    def namespace(self) -> str: ...
    @property
    def lives_in(self) -> str: ...
    @property
    def telemetry(self) -> Telemetry: ...
    def atomic(self, *, commit_id: str | None = ..., timeout: float | None = ...) -> Unit: ...
    def stats(self, *, timeout: float | None = ...) -> StoreStats: ...
    def share_stats(self, *, every: Duration = ...) -> None: ...
    def shared_stats(self, *, timeout: float | None = ...) -> dict[str, Measured]: ...
    def health(self, thresholds: Thresholds | None = ..., *, timeout: float | None = ...) -> Health: ...
    def sweep(self, *, limit: int = ..., retention: spi.Retention | None = ...) -> Swept: ...
    def inspect_schema(self) -> SchemaInfo: ...
    def examine(self) -> Sequence[Finding]: ...
    def upgrade_schema(self) -> SchemaInfo: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

def open_store(
    store: str | Choice | None = ...,
    *,
    namespace: str | None = ...,
    config: Config | Path | str | None = ...,
    retention: spi.Retention | None = ...,
    janitor: bool = ...,
    follow: bool = ...,
) -> Store: ...
