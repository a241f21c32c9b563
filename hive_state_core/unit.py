"""The atomic unit of work: verbs of several facets, gathered and committed together or not at all."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import msgspec

from hive_state_core import validate
from hive_state_core.errors import Conflict, InvalidArgument, LimitExceeded
from hive_state_core.limits import BATCH_BYTES, BATCH_OPS
from hive_state_core.record_ops import RecordOps
from hive_state_core.refusals import describe
from hive_state_core.spi import Append, Batch, Check, Committed, Op
from hive_state_core.task_ops import TaskOps
from hive_state_core.trips import Trips

if TYPE_CHECKING:
    from hive_state_core.agents import AgentOps
    from hive_state_core.checkpoints import CheckpointOps
    from hive_state_core.event_ops import EventOps
    from hive_state_core.locks import LockOps
    from hive_state_core.sessions import SessionOps

T = TypeVar("T")


class Pending(Generic[T]):
    """What a verb of a unit will have returned once the unit is committed."""

    __slots__ = ("_decode", "_done")

    def __init__(self, decode: Callable[[Any, Committed], T]) -> None:
        self._decode = decode
        self._done: tuple[T] | None = None

    def settle(self, result: object, committed: Committed) -> None:
        self._done = (self._decode(result, committed),)

    @property
    def result(self) -> T:
        """Raises InvalidArgument as long as the unit is not committed."""
        if self._done is None:
            raise InvalidArgument("a result of an atomic unit is there once its `async with` has ended well")
        return self._done[0]


class Unit:
    """Use as `async with hive.atomic() as unit:`; the verbs are those of the facets, not awaited.

    Nothing is sent before the end of the block. An exception in the block sends nothing at all. At the
    end everything is committed, or the error of the first thing that did not hold is raised
    (`Conflict`, `LeaseLost`, ...) and nothing was done.

    Checks and leases are judged by the state before the unit; apart from that each verb sees the ones
    before it. One entity may be the target of one verb only.
    """

    def __init__(self, trips: Trips, *, commit_id: str | None, timeout: float | None) -> None:
        self.commit_id: str | None = None if commit_id is None else validate.key(commit_id, "commit_id")
        self._trips = trips
        self._timeout = timeout
        self._checks: list[Check] = []
        self._errors: dict[str, Callable[[Conflict], Conflict]] = {}
        self._ops: list[Op] = []
        self._pending: list[Pending[Any]] = []
        self._targets: set[object] = set()
        self._size = 0
        self._committed: Committed | None = None
        self._ended = False

    # The verbs, made when they are asked for: a unit that held them would be a circle of references, and each
    # unit of a busy hive work for the garbage collector. Facets that make units import this module.

    @property
    def records(self) -> RecordOps:
        return RecordOps(self)

    @property
    def agents(self) -> AgentOps:
        from hive_state_core.agents import AgentOps

        return AgentOps(self)

    @property
    def tasks(self) -> TaskOps:
        return TaskOps(self)

    @property
    def sessions(self) -> SessionOps:
        from hive_state_core.sessions import SessionOps

        return SessionOps(self)

    @property
    def locks(self) -> LockOps:
        from hive_state_core.locks import LockOps

        return LockOps(self)

    @property
    def events(self) -> EventOps:
        from hive_state_core.event_ops import EventOps

        return EventOps(self)

    @property
    def checkpoints(self) -> CheckpointOps:
        from hive_state_core.checkpoints import CheckpointOps

        return CheckpointOps(self)

    @property
    def version(self) -> int:
        """The version of all that the unit wrote. Raises InvalidArgument before it is committed."""
        if self._committed is None:
            raise InvalidArgument(
                "the version of an atomic unit is there once its `async with` has ended well"
            )
        return self._committed.version

    def count(self) -> int:
        """How many operations there are so far."""
        return len(self._ops)

    def check(self, check: Check, error: Callable[[Conflict], Conflict] | None = None) -> None:
        """Add a check; for facets. `error` makes what its refusal raises."""
        self._refuse_after_end()
        self._checks.append(check)
        if error is not None:
            self._errors[describe(check.ref)] = error

    def add(self, op: Op, decode: Callable[[Any, Committed], T], size: int = 0) -> Pending[T]:
        """Add an operation; for facets. `size`: bytes of its values."""
        self._refuse_after_end()
        if type(op) is not Append:
            if op.ref in self._targets:
                raise InvalidArgument(f"{describe(op.ref)} is the target of two verbs of one atomic unit")
            self._targets.add(op.ref)
        if len(self._ops) >= BATCH_OPS:
            raise LimitExceeded("the number of operations in one atomic unit", len(self._ops) + 1, BATCH_OPS)
        self._size += size
        if self._size > BATCH_BYTES:
            raise LimitExceeded("the size of an atomic unit in bytes", self._size, BATCH_BYTES)
        self._ops.append(op)
        pending = Pending(decode)
        self._pending.append(pending)
        return pending

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.commit()
        self._ended = True

    async def commit(self) -> None:
        """What the end of the block does. A unit is committed once."""
        self._refuse_after_end()
        self._ended = True
        if not self._ops and not self._checks:
            return
        batch = make_batch(self._checks, self._ops, self.commit_id)
        try:
            self._committed = committed = await self._trips.commit(batch, self._size, self._timeout)
        except Conflict as conflict:
            if conflict.key not in self._errors:
                raise
            raise self._errors[conflict.key](conflict) from conflict.__cause__
        for pending, result in zip(self._pending, committed.results, strict=True):
            pending.settle(result, committed)

    def _refuse_after_end(self) -> None:
        if self._ended:
            raise InvalidArgument("this atomic unit has ended; open another with hive.atomic()")


def make_batch(checks: list[Check], ops: list[Op], commit_id: str | None) -> Batch:
    """With a commit id the batch carries a fingerprint of what it does."""
    if commit_id is None:
        return Batch(tuple(ops), tuple(checks))
    named = [(type(part).__name__, part) for part in (*checks, *ops)]
    fingerprint = blake2b(msgspec.msgpack.encode(named), digest_size=16).digest()
    return Batch(tuple(ops), tuple(checks), commit_id, fingerprint)
