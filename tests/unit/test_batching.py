"""Natural batching, over a carrier that a test holds back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from hive_state_core.batching import ALONE, PART, Lane
from hive_state_core.crowd import Crowd
from hive_state_core.errors import Closed, HiveStateError, Indeterminate, Internal, Unavailable
from hive_state_core.telemetry import Meter

pytestmark = pytest.mark.prompt


def meter() -> Meter:
    return Meter(lambda _: "call", lambda _: ())


class Carrier:
    """Answers item x with x * 10, once a trip is let go; keeps what travelled together."""

    def __init__(self) -> None:
        self.trips: list[list[int]] = []
        self.tasks: list[asyncio.Task[object] | None] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, items: Sequence[int]) -> Sequence[int | HiveStateError]:
        self.trips.append(list(items))
        self.tasks.append(asyncio.current_task())
        await self.gate.wait()
        return [Internal("negative") if item < 0 else item * 10 for item in items]


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


@pytest.fixture
def abandoned() -> list[tuple[int, int]]:
    return []


@pytest.fixture
async def new_lane(carrier: Carrier, abandoned: list[tuple[int, int]]) -> AsyncIterator[Lane[int, int]]:
    lane = Lane[int, int](
        carrier.send,
        meter(),
        Crowd(),
        most=4,
        most_bytes=100,
        abandoned=lambda item, got: abandoned.append((item, got)),
    )
    lane.open()
    yield lane
    carrier.gate.set()
    await lane.close()


@pytest.fixture(params=["in company", "alone"])
async def lane(request: pytest.FixtureRequest, new_lane: Lane[int, int], carrier: Carrier) -> Lane[int, int]:
    """Alone: the next call that finds nothing under way is carried by its own caller."""
    if request.param == "alone":
        for _ in range(ALONE):
            await new_lane.call(9)
        carrier.trips.clear()
    return new_lane


async def under_way(lane: Lane[int, int], carrier: Carrier) -> asyncio.Task[int]:
    """A first call whose trip is held back."""
    carrier.gate.clear()
    first = asyncio.create_task(lane.call(0))
    while not carrier.trips:
        await asyncio.sleep(0)
    return first


async def test_a_lone_call_leaves_at_once(lane: Lane[int, int], carrier: Carrier) -> None:
    assert await lane.call(7) == 70
    assert carrier.trips == [[7]]


async def test_who_has_become_alone_carries_its_calls_itself(
    new_lane: Lane[int, int], carrier: Carrier
) -> None:
    await asyncio.gather(*(new_lane.call(n) for n in (1, 2, 3)))
    for n in range(ALONE + 2):
        await new_lane.call(n)
    made = [isinstance(task, asyncio.Task) for task in carrier.tasks]
    assert made == [True, *[True] * ALONE, False, False]


async def test_a_straggler_does_not_part_the_crowd_that_comes_after_it(
    new_lane: Lane[int, int], carrier: Carrier
) -> None:
    for _ in range(2):
        await asyncio.gather(*(new_lane.call(n) for n in (1, 2, 3)))
        await new_lane.call(9)
    assert carrier.trips == [[1, 2, 3], [9], [1, 2, 3], [9]]


async def test_calls_gather_while_a_trip_is_under_way(lane: Lane[int, int], carrier: Carrier) -> None:
    first = await under_way(lane, carrier)
    others = [asyncio.create_task(lane.call(n)) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    carrier.gate.set()
    assert await asyncio.gather(first, *others) == [0, 10, 20, 30]
    assert carrier.trips == [[0], [1, 2, 3]]


async def test_callers_that_ask_again_travel_together_again(
    new_lane: Lane[int, int], carrier: Carrier
) -> None:
    async def agent(n: int) -> None:
        for _ in range(3):
            await new_lane.call(n)

    await asyncio.gather(*(agent(n) for n in (1, 2, 3)))
    assert [sorted(trip) for trip in carrier.trips] == [[1, 2, 3]] * 3


async def test_the_first_of_many_waits_for_the_others_if_calls_came_in_company_of_late(
    new_lane: Lane[int, int], carrier: Carrier
) -> None:
    async def burst() -> list[list[int]]:
        carrier.trips.clear()
        carrier.gate.clear()
        asyncio.get_running_loop().call_later(0.001, carrier.gate.set)
        await asyncio.gather(*(new_lane.call(n) for n in (1, 2, 3)))
        return carrier.trips

    for _ in range(ALONE):
        await new_lane.call(0)
    assert await burst() == [[1], [2, 3]]
    assert await burst() == [[1, 2, 3]]


async def test_a_trip_is_bounded_by_number_and_by_size(lane: Lane[int, int], carrier: Carrier) -> None:
    first = await under_way(lane, carrier)
    others = [asyncio.create_task(lane.call(n, size=40)) for n in (1, 2, 3)]
    others += [asyncio.create_task(lane.call(4, size=500))]
    others += [asyncio.create_task(lane.call(n)) for n in (5, 6, 7, 8, 9)]
    await asyncio.sleep(0)
    carrier.gate.set()
    await asyncio.gather(first, *others)
    assert carrier.trips == [[0], [1, 2], [3], [4], [5, 6, 7, 8], [9]]


async def test_calls_that_meet_in_a_key_never_share_a_trip_and_keep_their_order(
    lane: Lane[int, int], carrier: Carrier
) -> None:
    first = await under_way(lane, carrier)
    calls = [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "a"), (6, "b")]
    others = [asyncio.create_task(lane.call(n, keys=(key,))) for n, key in calls]
    await asyncio.sleep(0)
    carrier.gate.set()
    await asyncio.gather(first, *others)
    assert carrier.trips == [[0], [1, 2, 4], [3, 6], [5]]


async def test_one_that_stays_keeps_back_those_that_meet_it(lane: Lane[int, int], carrier: Carrier) -> None:
    first = await under_way(lane, carrier)
    calls = [(1, ("a",)), (2, ("a", "b")), (3, ("b",))]
    others = [asyncio.create_task(lane.call(n, keys=keys)) for n, keys in calls]
    await asyncio.sleep(0)
    carrier.gate.set()
    await asyncio.gather(first, *others)
    assert carrier.trips == [[0], [1], [2], [3]]  # 3 may not overtake 2


async def test_shared_keys_meet_only_those_who_want_them_alone(
    lane: Lane[int, int], carrier: Carrier
) -> None:
    first = await under_way(lane, carrier)
    others = [
        asyncio.create_task(lane.call(1, shared=("a",))),
        asyncio.create_task(lane.call(2, shared=("a",))),
        asyncio.create_task(lane.call(3, keys=("a",))),
        asyncio.create_task(lane.call(4, shared=("a",))),
    ]
    await asyncio.sleep(0)
    carrier.gate.set()
    await asyncio.gather(first, *others)
    assert carrier.trips == [[0], [1, 2], [3], [4]]


async def test_an_error_is_one_callers_alone(lane: Lane[int, int]) -> None:
    results = await asyncio.gather(lane.call(1), lane.call(-1), lane.call(2), return_exceptions=True)
    assert results[0] == 10
    assert isinstance(results[1], Internal)
    assert results[2] == 20


async def test_a_cancelled_call_that_waited_never_leaves(lane: Lane[int, int], carrier: Carrier) -> None:
    first = await under_way(lane, carrier)
    waiting = asyncio.create_task(lane.call(1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    carrier.gate.set()
    await first
    await lane.close()
    assert carrier.trips == [[0]]


async def test_a_cancelled_call_under_way_is_done_whole_and_handed_back(
    lane: Lane[int, int], carrier: Carrier, abandoned: list[tuple[int, int]]
) -> None:
    first = await under_way(lane, carrier)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    carrier.gate.set()
    assert await lane.call(1) == 10
    assert abandoned == [(0, 0)]


async def test_an_answer_that_came_before_its_cancelled_caller_woke_is_handed_back(
    lane: Lane[int, int], carrier: Carrier, abandoned: list[tuple[int, int]]
) -> None:
    first = await under_way(lane, carrier)
    carrier.gate.set()  # wakes the trip in the next turn
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await lane.call(1) == 10
    assert abandoned == [(0, 0)]


async def test_an_answer_is_handed_back_whose_caller_is_cancelled_before_it_wakes(
    new_lane: Lane[int, int], carrier: Carrier, abandoned: list[tuple[int, int]]
) -> None:
    async def send(items: Sequence[int]) -> Sequence[int | HiveStateError]:
        answers = await Carrier.send(carrier, items)
        asyncio.get_running_loop().call_soon(first.cancel)
        return answers

    new_lane._send = send  # type: ignore[assignment]
    first = asyncio.create_task(new_lane.call(0))
    with pytest.raises(asyncio.CancelledError):
        await first
    assert abandoned == [(0, 0)]


async def test_a_caller_that_is_cancelled_while_it_is_answered(
    new_lane: Lane[int, int], carrier: Carrier, abandoned: list[tuple[int, int]]
) -> None:
    """As Ctrl-C does: its handler runs between any two steps of the program."""
    calls: list[asyncio.Task[int]] = []

    class Answer(int):
        @property
        def __class__(self) -> type:  # type: ignore[override]
            calls[1].cancel()  # as soon as anybody asks what it is
            return int

    async def send(items: Sequence[int]) -> Sequence[int | HiveStateError]:
        answers = await Carrier.send(carrier, items)
        return [Answer(answer) if item == 1 else answer for item, answer in zip(items, answers, strict=True)]  # type: ignore[call-overload]

    new_lane._send = send  # type: ignore[assignment]
    calls += [asyncio.create_task(new_lane.call(n)) for n in range(3)]
    first, cancelled, last = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert (first, last, abandoned) == (0, 20, [(1, 10)])


async def answered_in(turns_of: list[int], lane: Lane[int, int], calls: int) -> list[asyncio.Task[int]]:
    """So many calls that travel together; `turns_of` is given the turn of the loop in which each woke."""
    turn = 0

    async def clock() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    async def one(item: int) -> int:
        answer = await lane.call(item)
        turns_of.append(turn)
        return answer

    ticking = asyncio.create_task(clock())
    tasks = [asyncio.create_task(one(item)) for item in range(calls)]
    await asyncio.wait(tasks)
    ticking.cancel()
    return tasks


@pytest.mark.parametrize(("waits", "parts"), [(True, 3), (False, 1)])
async def test_a_crowd_is_answered_in_parts_while_others_wait_for_the_event_loop_only(
    carrier: Carrier, waits: bool, parts: int
) -> None:
    crowd = Crowd()
    Crowd(ahead_of=crowd).join(lambda: int(waits))
    lane = Lane[int, int](carrier.send, meter(), crowd)
    lane.open()
    turns = list[int]()
    tasks = await answered_in(turns, lane, 2 * PART + 1)
    assert carrier.trips == [list(range(2 * PART + 1))]
    assert [task.result() for task in tasks] == [item * 10 for item in range(2 * PART + 1)]
    assert len({*turns}) == parts
    await lane.close()


async def test_who_is_not_answered_yet_is_answered_when_the_event_loop_ends(carrier: Carrier) -> None:
    crowd = Crowd()
    Crowd(ahead_of=crowd).join(lambda: 1)
    lane = Lane[int, int](carrier.send, meter(), crowd)
    lane.open()
    calls = [asyncio.create_task(lane.call(item)) for item in range(2 * PART)]
    await calls[0]
    (runner,) = lane._runners
    runner.cancel()
    assert await asyncio.gather(*calls) == [item * 10 for item in range(2 * PART)]
    await asyncio.wait({runner})
    assert runner.cancelled()


async def test_a_timeout_says_whether_the_call_had_left(lane: Lane[int, int], carrier: Carrier) -> None:
    carrier.gate.clear()
    with pytest.raises(Indeterminate):
        await lane.call(1, timeout=0.01)
    with pytest.raises(Unavailable) as caught:
        await lane.call(2, timeout=0.01)
    assert caught.value.applied == "no"
    carrier.gate.set()
    await lane.close()
    assert carrier.trips == [[1]]


async def test_close_waits_for_what_was_called_and_takes_no_more(
    lane: Lane[int, int], carrier: Carrier
) -> None:
    first = await under_way(lane, carrier)
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    with pytest.raises(Closed):
        await lane.call(1)
    assert not closing.done()
    carrier.gate.set()
    await closing
    assert await first == 0


async def test_a_carrier_that_breaks_leaves_nobody_waiting() -> None:
    under_way, broken = asyncio.Event(), asyncio.Event()

    async def breaks(items: Sequence[int]) -> Sequence[int | HiveStateError]:
        under_way.set()
        await broken.wait()
        raise RuntimeError("a defect")

    lane = Lane[int, int](breaks, meter(), Crowd(), most=2, most_bytes=100)
    lane.open()
    calls = [asyncio.create_task(lane.call(n)) for n in range(5)]
    await under_way.wait()
    calls[0].cancel()  # its caller is gone already
    broken.set()
    first, *others = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert all(isinstance(result, Closed) for result in others)
    await lane.close()
