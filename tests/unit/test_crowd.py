"""Two trips under way: how callers part, and what never is under way together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from hive_state_core.batching import Lane
from hive_state_core.crowd import FEW, Crowd
from hive_state_core.errors import HiveStateError
from hive_state_core.telemetry import Meter

CALLERS = 3 * FEW


class Ferry:
    """Holds each trip back until it is let go; answers item x with x."""

    def __init__(self) -> None:
        self.left: list[list[int]] = []
        self._gates: list[asyncio.Event] = []

    async def send(self, items: Sequence[int]) -> Sequence[int | HiveStateError]:
        gate = asyncio.Event()
        self.left.append(list(items))
        self._gates.append(gate)
        await gate.wait()
        return list(items)

    async def land(self, number: int) -> None:
        self._gates[number].set()
        await settled()

    def let_all_go(self) -> None:
        for gate in self._gates:
            gate.set()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def ferry() -> Ferry:
    return Ferry()


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(2)


@pytest.fixture
async def tasks(ferry: Ferry) -> AsyncIterator[list[asyncio.Task[object]]]:
    """Callers, all of which have an answer in the end."""
    started: list[asyncio.Task[object]] = []
    yield started
    while not all(task.done() for task in started):
        ferry.let_all_go()
        await settled()
    await asyncio.gather(*started, return_exceptions=True)


def new_lane(ferry: Ferry, crowd: Crowd, most: int = 256) -> Lane[int, int]:
    meter = Meter(lambda _: "call", lambda _: ())
    lane = Lane[int, int](ferry.send, meter, crowd, most=most, most_bytes=1 << 20)
    lane.open()
    return lane


@pytest.fixture
async def lane(ferry: Ferry, crowd: Crowd) -> Lane[int, int]:
    return new_lane(ferry, crowd)


async def call_again(lane: Lane[int, int], number: int, times: int) -> None:
    for _ in range(times):
        assert await lane.call(number) == number


async def test_many_callers_part_into_two_trips_and_stay_so(
    lane: Lane[int, int], ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    tasks += [asyncio.create_task(call_again(lane, n, 2)) for n in range(CALLERS)]
    await settled()
    half = CALLERS // 2
    assert [len(trip) for trip in ferry.left] == [half, half]
    await ferry.land(0)
    assert ferry.left[2] == ferry.left[0]
    await ferry.land(1)
    assert ferry.left[3] == ferry.left[1]


async def test_few_callers_travel_together(
    lane: Lane[int, int], ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    tasks += [asyncio.create_task(lane.call(n)) for n in range(FEW)]
    await settled()
    tasks += [asyncio.create_task(lane.call(n)) for n in range(FEW - 1)]
    await settled()
    assert [len(trip) for trip in ferry.left] == [FEW]
    await ferry.land(0)
    assert [len(trip) for trip in ferry.left] == [FEW, FEW - 1]


async def test_as_many_as_a_trip_is_worth_leave_beside_another(
    lane: Lane[int, int], ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    for _ in range(3):
        tasks += [asyncio.create_task(lane.call(n)) for n in range(FEW)]
        await settled()
    assert [len(trip) for trip in ferry.left] == [FEW, FEW]


async def test_what_meets_a_trip_under_way_waits_and_keeps_back_what_meets_it(
    lane: Lane[int, int], ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    async def call(number: int, *keys: str) -> None:
        tasks.append(asyncio.create_task(lane.call(number, keys)))

    await call(0, "a")
    await settled()
    await call(1, "b", "a")
    await call(2, "b")
    for n in range(3, 3 + FEW):
        await call(n, f"key {n}")
    await settled()
    assert ferry.left == [[0], [*range(3, 3 + FEW)]]
    await ferry.land(1)
    assert len(ferry.left) == 2
    await ferry.land(0)
    assert ferry.left[2:] == [[1]]
    await ferry.land(2)
    assert ferry.left[3:] == [[2]]


async def test_nothing_leaves_while_all_that_wait_meet_what_is_under_way(
    lane: Lane[int, int], ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    tasks += [asyncio.create_task(lane.call(n, ("key",))) for n in range(CALLERS)]
    await settled()
    assert ferry.left == [[0]]
    await ferry.land(0)
    assert ferry.left == [[0], [1]]


async def test_what_is_shared_with_a_trip_under_way_is_not_changed_beside_it(
    lane: Lane[int, int], ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    tasks.append(asyncio.create_task(lane.call(0, shared=("parent",))))
    await settled()
    tasks.append(asyncio.create_task(lane.call(1, ("parent",))))
    tasks += [asyncio.create_task(lane.call(n, shared=("parent",))) for n in range(2, 2 + FEW)]
    tasks += [asyncio.create_task(lane.call(n, (n,))) for n in range(100, 100 + FEW)]
    await settled()
    assert ferry.left == [[0], [*range(100, 100 + FEW)]]
    await ferry.land(0)
    assert ferry.left[2:] == [[1]]


async def test_a_second_trip_of_a_lane_waits_for_room_among_all_lanes(
    ferry: Ferry, crowd: Crowd, tasks: list[asyncio.Task[object]]
) -> None:
    lane, other = new_lane(ferry, crowd), new_lane(ferry, crowd)
    tasks.append(asyncio.create_task(other.call(1000)))
    await settled()
    tasks += [asyncio.create_task(lane.call(n)) for n in range(CALLERS)]
    await settled()
    assert len(ferry.left) == 2
    await ferry.land(0)
    tasks.append(asyncio.create_task(lane.call(CALLERS)))
    await settled()
    assert len(ferry.left) == 3


async def test_who_was_just_answered_leaves_in_another_lane_beside_what_is_under_way_there(
    ferry: Ferry, crowd: Crowd, tasks: list[asyncio.Task[object]]
) -> None:
    """As claims do after completions: the server has the next trip when it is done with the one at hand."""
    lane, other = new_lane(ferry, crowd), new_lane(ferry, crowd)

    async def both(number: int) -> None:
        await other.call(number)
        await lane.call(number)

    tasks += [asyncio.create_task(lane.call(n)) for n in range(FEW)]
    tasks += [asyncio.create_task(both(n)) for n in range(100, 100 + FEW)]
    await settled()
    assert len(ferry.left) == 2
    await ferry.land(1)
    assert ferry.left[2:] == [[*range(100, 100 + FEW)]]


async def test_where_one_trip_at_a_time_is_wanted_none_leaves_beside_it(
    ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    lane = new_lane(ferry, Crowd(1), most=FEW)
    tasks += [asyncio.create_task(call_again(lane, n, 2)) for n in range(2 * FEW)]
    await settled()
    assert [len(trip) for trip in ferry.left] == [FEW]
    for landed in range(3):
        await ferry.land(landed)
        assert [len(trip) for trip in ferry.left] == [FEW] * (landed + 2)


async def test_one_more_leaves_as_soon_as_two_are_wanted(
    ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    crowd = Crowd(1)
    lane = new_lane(ferry, crowd)
    tasks.append(asyncio.create_task(lane.call(0)))
    await settled()
    tasks += [asyncio.create_task(lane.call(n)) for n in range(1, 1 + FEW)]
    await settled()
    assert ferry.left == [[0]]
    crowd.most = 2
    tasks.append(asyncio.create_task(lane.call(1 + FEW)))
    await settled()
    assert ferry.left == [[0], [*range(1, 1 + FEW)]]


async def test_who_is_under_way_is_the_last_beside_another_once_one_is_wanted(
    lane: Lane[int, int], ferry: Ferry, crowd: Crowd, tasks: list[asyncio.Task[object]]
) -> None:
    tasks += [asyncio.create_task(call_again(lane, n, 2)) for n in range(CALLERS)]
    await settled()
    half = CALLERS // 2
    assert [len(trip) for trip in ferry.left] == [half, half]
    crowd.most = 1
    await ferry.land(0)
    assert len(ferry.left) == 2
    await ferry.land(1)
    assert [len(trip) for trip in ferry.left] == [half, half, CALLERS]


async def test_closing_waits_for_every_trip(
    lane: Lane[int, int], ferry: Ferry, tasks: list[asyncio.Task[object]]
) -> None:
    tasks += [asyncio.create_task(lane.call(n)) for n in range(2 * FEW)]
    await settled()
    closing = asyncio.create_task(lane.close())
    tasks.append(closing)
    await ferry.land(0)
    assert not closing.done()
    await ferry.land(1)
    assert closing.done()
