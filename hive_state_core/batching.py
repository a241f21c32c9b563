"""Natural batching: what concurrent callers ask for travels together.

When nothing is under way, a call leaves at once; while a trip is under way, the calls that come in
gather, and leave together when it is back. There is no timer, so a lone caller waits for nobody; where
calls came in company of late, the first waits for one turn of the event loop, so that they travel
together. A hundred agents that each await one operation thus share one transaction and one disk sync.

Calls whose keys meet never share a trip, are never under way beside each other, and keep their order of
arrival. Where most of a trip's time is a server's, a second trip may be under way: see `Crowd`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from itertools import chain
from time import perf_counter
from typing import Generic, TypeVar, cast

import msgspec

from hive_state_core import validate
from hive_state_core.crowd import FEW, Crowd
from hive_state_core.errors import Closed, HiveStateError, Indeterminate, InvalidArgument, Unavailable
from hive_state_core.limits import TRIP_BATCHES, TRIP_BYTES
from hive_state_core.outliving import Outliving
from hive_state_core.telemetry import Meter

Item = TypeVar("Item")
Result = TypeVar("Result")

Send = Callable[[Sequence[Item]], Awaitable[Sequence[Result | HiveStateError]]]
"""Carries one trip: one result or error for each item, in order. Must not raise but for a defect."""

ALONE = 4
"""Trips of a single call in a row after which a lane takes its caller for a lone one. More than one: else a
straggler would part the crowd that comes after it into its first call and the rest."""

PART = 8
"""Callers that are answered in one turn of the event loop, where others wait for it."""


class _Ticket(msgspec.Struct, Generic[Item, Result], eq=False):
    """A call that waits for a trip, or for its answer."""

    item: Item
    keys: Collection[Hashable]
    shared: Collection[Hashable]
    size: int
    future: asyncio.Future[Result]
    asked: float
    sent: bool = False


def elsewhere() -> InvalidArgument:
    """For a call from another event loop than that which opened the store: it might wait for ever."""
    return InvalidArgument(
        "this Store belongs to the event loop that opened it, in the process that did;"
        " open another one where you are"
    )


class Lane(Generic[Item, Result]):
    """Gathers calls into trips.

    send        carries a trip
    meter       is told of each trip
    crowd       of the store that the lane belongs to
    most        items in a trip
    most_bytes  sum of their sizes; one larger item travels alone
    writes      False: what timed out under way has no effect that would matter
    abandoned   is given (item, result) of a call whose caller was cancelled while its trip was under way
    """

    def __init__(
        self,
        send: Send[Item, Result],
        meter: Meter,
        crowd: Crowd,
        *,
        most: int = TRIP_BATCHES,
        most_bytes: int = TRIP_BYTES,
        writes: bool = True,
        abandoned: Callable[[Item, Result], None] | None = None,
    ) -> None:
        self._send = send
        self._meter = meter
        self._crowd = crowd
        crowd.join(self._calls)
        self._most = most
        self._most_bytes = most_bytes
        self._writes = writes
        self._abandoned = abandoned
        self._waiting: deque[_Ticket[Item, Result]] = deque()
        self._runners: set[asyncio.Task[None]] = set()
        self._away: list[list[_Ticket[Item, Result]]] = []
        self._singles = 0  # trips of one call since calls last came together
        self._alone = False
        self._alone_ended: asyncio.Future[None] | None = None
        self._closed = "the store is not open yet"
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(
        self,
        item: Item,
        keys: Collection[Hashable] = (),
        shared: Collection[Hashable] = (),
        size: int = 0,
        timeout: float | None = None,
    ) -> Result:
        """The item's result, or its error raised.

        `keys` are what it wants for itself in a trip, `shared` what it can share with others that want
        to share it. After `timeout` seconds: Unavailable if the item has not left yet (it never will),
        Indeterminate if it has. Cancelling the caller does the same to the item: not done if it waited,
        else done whole.
        """
        if timeout is not None:
            validate.timeout(timeout)
        elif self._singles >= ALONE and (trip := self.leave_alone(item)) is not None:
            return await trip
        if self._closed:
            raise Closed(self._closed)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            raise elsewhere()
        idle = not self._runners and not self._alone
        future: asyncio.Future[Result] = loop.create_future()
        ticket = _Ticket(item, keys, shared, size, future, perf_counter())
        self._waiting.append(ticket)
        if idle or (len(self._waiting) >= FEW and self._crowd.has_room() and not self._alone):
            self._start()
        try:
            if timeout is None:
                return await future
            async with asyncio.timeout(timeout):
                return await future
        except asyncio.CancelledError:
            self._leave_behind(ticket)
            raise
        except TimeoutError:
            self._leave_behind(ticket)
            if ticket.sent and self._writes:
                raise Indeterminate(
                    f"no answer within {timeout} s; the call may or may not have been done"
                ) from None
            raise Unavailable(f"no answer within {timeout} s; the call was not done") from None

    def leave_alone(self, item: Item) -> Awaitable[Result] | None:
        """`call`, of a lone caller that gives no timeout: a trip in its own task. None: it is not alone.
        A read may be cancelled anywhere."""
        if (
            self._singles < ALONE
            or self._runners
            or self._alone
            or self._closed
            or asyncio.get_running_loop() is not self._loop
        ):
            return None
        trip = self._send_alone(item)
        return Outliving(trip, lambda task: self._adopt(item, task)) if self._writes else trip

    async def _send_alone(self, item: Item) -> Result:
        self._alone = True
        sent = perf_counter()
        try:
            (result,) = await self._send((item,))
            self._meter.arrived_alone(item, sent)
        finally:
            self._alone = False
            if self._alone_ended is not None:
                self._alone_ended.set_result(None)
            if self._waiting:
                self._singles = 0
                self._start()
        if isinstance(result, HiveStateError):
            self._meter.failed(result)
            raise result
        return result

    def _adopt(self, item: Item, task: asyncio.Task[Result]) -> None:
        """The caller of a lone trip is gone; the trip goes on in `task`."""
        self._orphan = task  # the event loop holds it weakly only

        def ended(task: asyncio.Task[Result]) -> None:
            failed = task.cancelled() or task.exception() is not None
            if self._abandoned is not None and not failed:
                self._abandoned(item, task.result())

        task.add_done_callback(ended)

    def _leave_behind(self, ticket: _Ticket[Item, Result]) -> None:
        """Its caller gave up, perhaps between the answer and the waking: the answer would be lost."""
        future = ticket.future
        answered = future.done() and not future.cancelled() and future.exception() is None
        if answered and self._abandoned is not None:
            self._abandoned(ticket.item, future.result())

    def open(self) -> None:
        """Take calls from now on, from this event loop."""
        self._closed = ""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Let what was called come to its end, and take no more."""
        self._closed = "the store is closed"
        if self._alone:
            self._alone_ended = self._alone_ended or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._alone_ended)
        while self._runners:
            await asyncio.shield(next(iter(self._runners)))

    def _calls(self) -> int:
        """That wait or are under way."""
        return len(self._waiting) + sum([len(trip) for trip in self._away])

    def _start(self) -> None:
        runner = asyncio.create_task(self._run())
        self._runners.add(runner)
        self._crowd.runners += 1

    async def _run(self) -> None:
        try:
            while len(self._waiting) >= (FEW if self._away else 1):
                if self._away and self._crowd.is_crowded():  # who is under way goes on
                    break
                trip = self._take()
                if not trip and self._away:  # all that wait meet what is under way, whose runner goes on
                    break
                if len(self._waiting) >= FEW and self._crowd.has_room():
                    self._start()
                company = len(trip) > 1
                self._singles = 0 if company else self._singles + 1
                if trip:
                    await self._travel(trip)
                if company:
                    # The callers that were just answered get one turn to ask for more, so that
                    # they travel together again instead of the quickest of them alone.
                    await self._crowd.give_way()
        finally:
            self._runners.discard(cast(asyncio.Task[None], asyncio.current_task()))
            self._crowd.runners -= 1

    def _take(self) -> list[_Ticket[Item, Result]]:
        """The oldest calls that may share a trip. One that has to stay keeps back all that meet it."""
        most = min(self._most, self._crowd.share())
        return self._take_all(most) or self._take_some(most)

    def _take_all(self, most: int) -> list[_Ticket[Item, Result]]:
        """All that wait, if they fit a trip and no two of them meet, nor what is under way; else nothing."""
        trip = list(self._waiting)
        if len(trip) > most or sum([ticket.size for ticket in trip]) > self._most_bytes:
            return []
        outside = list(chain(trip, *self._away))
        keys = [key for ticket in outside for key in ticket.keys]
        meet = len({*keys}) < len(keys) or any(t.shared for t in outside)
        if meet or any(t.future.done() for t in trip):
            return []
        self._waiting.clear()
        for ticket in trip:
            ticket.sent = True
        return trip

    def _take_some(self, most: int) -> list[_Ticket[Item, Result]]:
        trip: list[_Ticket[Item, Result]] = []
        left: list[_Ticket[Item, Result]] = []
        taken = {key for ticket in chain(*self._away) for key in ticket.keys}
        shared = {key for ticket in chain(*self._away) for key in ticket.shared}
        size = 0
        waiting = self._waiting
        while waiting and len(trip) < most:
            ticket = waiting[0]
            if trip and size + ticket.size > self._most_bytes:
                break
            waiting.popleft()
            if ticket.future.done():  # cancelled while it waited
                continue
            if (
                taken.isdisjoint(ticket.keys)
                and (not shared or shared.isdisjoint(ticket.keys))
                and (not ticket.shared or taken.isdisjoint(ticket.shared))
            ):
                trip.append(ticket)
                size += ticket.size
                ticket.sent = True
            else:
                left.append(ticket)
            taken.update(ticket.keys)
            shared.update(ticket.shared)
        waiting.extendleft(reversed(left))
        return trip

    async def _travel(self, trip: list[_Ticket[Item, Result]]) -> None:
        sent = perf_counter()
        self._away.append(trip)
        try:
            results = await self._send([ticket.item for ticket in trip])
        except BaseException as error:
            # Only a defect, or the end of the event loop: nobody may be left waiting.
            trip += self._waiting
            self._waiting.clear()
            for ticket in trip:
                if not ticket.future.done():
                    ticket.future.set_exception(Closed(f"the store was torn down: {type(error).__name__}"))
            raise
        finally:
            self._away = [other for other in self._away if other is not trip]
        self._meter.arrived(trip, sent)
        await self._answer_all(trip, results)

    async def _answer_all(
        self, trip: Sequence[_Ticket[Item, Result]], results: Sequence[Result | HiveStateError]
    ) -> None:
        """All at once, or in parts while others wait for no more than turns of the event loop: a crowd at
        work in one turn makes it a long one."""
        left = deque(zip(trip, results, strict=True))
        try:
            while len(left) > PART and self._crowd.is_in_the_way():
                for _ in range(PART):
                    self._answer(*left.popleft())
                await asyncio.sleep(0)
        finally:  # nobody may be left waiting
            for ticket, result in left:
                self._answer(ticket, result)

    def _answer(self, ticket: _Ticket[Item, Result], result: Result | HiveStateError) -> None:
        try:
            if isinstance(result, HiveStateError):
                ticket.future.set_exception(result)
                self._meter.failed(result)
            else:
                ticket.future.set_result(result)
        except asyncio.InvalidStateError:
            # Its caller was cancelled. Not asked before: Ctrl-C may do that between any two steps.
            if self._abandoned is not None and not isinstance(result, HiveStateError):
                self._abandoned(ticket.item, result)
