"""The operations behind the verbs of events, and those verbs in an atomic unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from msgspec import UNSET, UnsetType

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import InvalidArgument
from hive_state_core.ids import error_text
from hive_state_core.limits import ATTEMPTS, CLAIM, VERSION_MAX
from hive_state_core.locks import this_process
from hive_state_core.model import GroupRef, StreamRef
from hive_state_core.record_ops import RESERVED
from hive_state_core.spi import Ack, Append, ClaimEvents, Committed, CreateGroup, Nack
from hive_state_core.subscription import Delivery
from hive_state_core.unit import Pending, Unit
from hive_state_core.validate import Duration

Start = int | Literal["now", "beginning"]
"""Where to begin: with the events published from now on, the first there is, or the one of that seq."""


class EventOps:
    """`unit.events`: the writing verbs, gathered instead of awaited; each is as its namesake in `Events`.

    A delivery that the unit ends is not acked again at the end of its block, once the unit is committed.
    Deliveries of one group are ended by one verb of a unit.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def publish(self, stream: str, body: Json) -> Pending[int]:
        op, size = append_op(stream_ref(stream), body)
        return self._unit.add(op, lambda result, _: cast(int, result), size)

    def ack(self, *deliveries: Delivery) -> Pending[None]:
        return self._unit.add(ack_op(deliveries), _settle(deliveries))

    def nack(
        self,
        *deliveries: Delivery,
        error: str | BaseException,
        retry_in: Duration | UnsetType | None = UNSET,
    ) -> Pending[None]:
        """In a unit with a commit_id the back-off is not jittered: a retry must ask for the same."""
        op = nack_op(deliveries, error, retry_in, jitter=self._unit.commit_id is None)
        return self._unit.add(op, _settle(deliveries))


def stream_ref(stream: str) -> StreamRef:
    """The validated reference to a user's stream."""
    validate.name(stream, "stream")
    if stream.startswith(RESERVED):
        raise InvalidArgument(f"streams that begin with {RESERVED!r} are reserved")
    return StreamRef(stream)


def group_ref(stream: str, group: str) -> GroupRef:
    return GroupRef(stream_ref(stream).stream, validate.name(group, "group"))


def append_op(ref: StreamRef, body: Json) -> tuple[Append, int]:
    """(operation, bytes)."""
    data, raw = codec.encode(body)
    return Append(ref, data, raw), len(data)


def create_op(ref: GroupRef, start: Start, max_deliveries: int) -> CreateGroup:
    return CreateGroup(
        ref, position_of(start), validate.integer(max_deliveries, "max_deliveries", 1, ATTEMPTS)
    )


def claim_request(stream: str, group: str, consumer: str | None, lease: Duration, limit: int) -> ClaimEvents:
    return ClaimEvents(
        group_ref(stream, group),
        this_process() if consumer is None else validate.name(consumer, "consumer"),
        validate.duration(lease, "lease"),
        validate.integer(limit, "limit", 1, CLAIM),
    )


def ack_op(deliveries: tuple[Delivery, ...]) -> Ack:
    return Ack(_group_of(deliveries), _named(deliveries))


def nack_op(
    deliveries: tuple[Delivery, ...],
    error: str | BaseException,
    retry_in: Duration | UnsetType | None,
    *,
    jitter: bool = True,
) -> Nack:
    ref = _group_of(deliveries)
    wait = max(deliveries, key=lambda each: each.attempt).retry_ms(retry_in, jitter=jitter)
    return Nack(ref, _named(deliveries), wait, error_text(error))


def release_op(deliveries: tuple[Delivery, ...]) -> Nack:
    return Nack(_group_of(deliveries), _named(deliveries), 0, spent=False)


def seq_of(value: int) -> int:
    return validate.integer(value, "start", 1, VERSION_MAX)


def position_of(start: Start) -> int | None:
    """The seq after which to begin; None: the last one."""
    if start == "now":
        return None
    return 0 if start == "beginning" else seq_of(start) - 1


def _group_of(deliveries: tuple[Delivery, ...]) -> GroupRef:
    refs = {delivery.ref for delivery in deliveries}
    if len(refs) != 1:
        raise InvalidArgument("name at least one delivery, and only such of one group")
    return refs.pop()


def _named(deliveries: tuple[Delivery, ...]) -> tuple[tuple[int, int], ...]:
    return tuple([delivery.named for delivery in deliveries])


def _settle(deliveries: tuple[Delivery, ...]) -> Callable[[object, Committed], None]:
    def settled(*_: object) -> None:
        for delivery in deliveries:
            delivery.ended = True

    return settled
