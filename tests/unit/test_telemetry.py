"""What a Store tells of its own calls."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace

import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import Conflict
from hive_state_core.histogram import Histogram
from hive_state_core.telemetry import AGENTS, OTHERS, Meter

pytestmark = pytest.mark.prompt


def true_rank(seconds: list[float], share: float) -> float:
    ranked = sorted(seconds)
    return ranked[max(0, -int(-share * len(ranked) // 1) - 1)] * 1000


@pytest.mark.parametrize("scale", [2e-6, 1e-3, 30.0])
def test_percentiles_are_off_by_three_percent_at_most(scale: float) -> None:
    draw = random.Random(7)
    seconds = [scale * (0.1 + draw.expovariate(1)) for _ in range(5000)]
    histogram = Histogram()
    for each in seconds:
        histogram.note(each)
    found = histogram.latency()
    assert found.calls == 5000
    assert found.max_ms == round(max(seconds) * 1000, 3)
    for share, told in ((0.5, found.p50_ms), (0.95, found.p95_ms), (0.99, found.p99_ms)):
        assert told == pytest.approx(true_rank(seconds, share), rel=0.035, abs=0.001)
    assert len(histogram.slots) < 200


def test_an_empty_histogram_says_zero() -> None:
    found = Histogram().latency()
    assert (found.calls, found.p50_ms, found.p99_ms, found.max_ms) == (0, 0, 0, 0)


def test_steps_join_without_a_gap_and_any_duration_fits() -> None:
    histogram = Histogram()
    for micros in range(200):
        histogram.note(micros / 1e6 + 1e-9)
    assert sorted(histogram.slots) == list(range(len(histogram.slots)))
    histogram.note(1e9)
    assert histogram.latency().max_ms == 1e12


def test_what_came_since_an_earlier_state() -> None:
    histogram = Histogram()
    histogram.note(2.0)
    earlier = histogram.copy()
    histogram.note(0.001, calls=3)
    new = histogram.since(earlier).latency()
    assert new.calls == 3
    assert new.max_ms == pytest.approx(1.0, rel=0.035)
    both = Histogram()
    both.add(earlier)
    both.add(histogram.since(earlier))
    assert both.slots == histogram.slots


def test_one_call_of_a_trip_stands_for_all_and_the_oldest_is_the_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a hundred trips of ten calls that waited 1..10 ms, the median waited as the median call did."""
    monkeypatch.setattr("hive_state_core.telemetry.perf_counter", lambda: 1.0)
    meter = Meter(lambda _: "call", lambda _: ())
    trip = [SimpleNamespace(item=None, asked=1.0 - waited / 1000) for waited in range(10, 0, -1)]
    for _ in range(100):
        meter.arrived(trip, 0.999)
    found = meter.kinds["call"].latency()
    assert (meter.trips, meter.calls, meter.largest, found.calls) == (100, 1000, 10, 1000)
    assert found.p50_ms == pytest.approx(5.0, rel=0.035)
    assert found.p95_ms == pytest.approx(10.0, rel=0.035)
    assert found.max_ms == 10.0
    assert meter.traffic().took.latency().p99_ms == pytest.approx(1.0, rel=0.035)


async def test_operations_lanes_and_errors() -> None:
    async with open_store("memory://") as hive:
        await asyncio.gather(*(hive.records.put("c", f"k{n}", n) for n in range(20)))
        await asyncio.gather(*(hive.records.get("c", f"k{n}") for n in range(20)))
        await hive.tasks.enqueue("q", 1)
        await hive.tasks.claim("q", worker="w")
        await hive.events.publish("s", 1)
        await hive.events.read("s")
        assert [key async for key in hive.records.list("c")]
        async with hive.atomic() as unit:
            unit.records.put("c", "a", 1)
            unit.events.publish("s", 2)
        with pytest.raises(Conflict):
            await hive.records.put("c", "a", 1, if_absent=True)
        found = hive.telemetry.measured()
    calls = {name: histogram.latency().calls for name, histogram in found.operations.items()}
    assert calls["put"] == 21
    assert calls["read"] == 21  # the claim asks what its worker can do
    assert calls.keys() == {
        *("put", "read", "enqueue", "claim_tasks", "append", "read_events", "scan_record", "atomic")
    }
    assert found.errors == {"already_exists": 1}
    lane = found.lanes["commit"]
    assert lane.calls == 24
    assert lane.trips < lane.calls
    assert 1 < lane.largest <= 20
    assert found.agents == {}


async def test_agents_are_told_apart_if_that_is_wanted() -> None:
    async with open_store("memory://") as hive:
        hive.telemetry.by_agent = True
        await asyncio.gather(*(hive.agents.register(f"a{n}") for n in range(5)))
        await hive.agents.get("a0")
        await hive.tasks.claim("q", worker="a1")
        await hive.records.put("c", "a0", 1)
        found = hive.telemetry.measured().agents
        assert {name: histogram.latency().calls for name, histogram in found.items()} == {
            "a0": 2, "a1": 2, "a2": 1, "a3": 1, "a4": 1,
        }  # fmt: skip
        hive.telemetry.by_agent = False
        await hive.agents.get("a0")
        assert hive.telemetry.measured().agents == {}


def test_agents_without_number_take_no_room_without_number() -> None:
    meter = Meter(lambda _: "call", lambda item: (item,))
    meter.agents = {}
    for number in range(AGENTS + 50):
        meter.arrived([SimpleNamespace(item=f"a{number}", asked=0.0)], 0.0)
    assert len(meter.agents) == AGENTS + 1
    assert meter.agents[OTHERS].latency().calls == 50


async def test_failures_of_a_driver_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from hive_state_core.errors import Unavailable

    async with open_store("memory://") as hive:

        async def gone(*_: object) -> None:
            raise Unavailable("gone")

        monkeypatch.setattr(hive._driver, "read", gone)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await hive.records.get("c", "k")
        assert hive.telemetry.measured().errors == {"unavailable": 3}


def test_store_has_one_before_it_is_opened() -> None:
    store: Store = open_store("memory://")
    assert store.telemetry.measured().lanes == {}
