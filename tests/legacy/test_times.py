"""Naive local times become instants, also where the clocks are changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from hive_state_legacy.times import Clock, instant

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def machine_in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


CASES = [
    ("2025-07-01T12:00:00", datetime(2025, 7, 1, 10, tzinfo=UTC)),
    ("2025-01-01 12:00:00.000999", datetime(2025, 1, 1, 11, 0, 0, 999, tzinfo=UTC)),
    ("2025-10-26T02:30:00", datetime(2025, 10, 26, 0, 30, tzinfo=UTC)),  # came twice
    ("2025-03-30T02:30:00", datetime(2025, 3, 30, 1, 30, tzinfo=UTC)),  # never came
    ("2025-07-01T12:00:00+05:00", datetime(2025, 7, 1, 7, tzinfo=UTC)),
    ("1950-01-01T00:00:00", datetime(1949, 12, 31, 23, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "moment"), CASES)
def test_in_a_zone(text: str, moment: datetime) -> None:
    assert Clock(BERLIN).read(text) == moment


@pytest.mark.parametrize(("text", "moment"), CASES)
def test_in_the_machines_zone(machine_in_berlin: None, text: str, moment: datetime) -> None:
    assert Clock(None).read(text) == moment


@pytest.mark.parametrize("zone", [BERLIN, None])
def test_doubtful_times_are_counted(machine_in_berlin: None, zone: ZoneInfo | None) -> None:
    clock = Clock(zone)
    for text, _ in CASES:
        clock.read(text)
    clock.read("2999-01-01T00:00:00")
    assert (clock.repeated, clock.skipped, clock.future) == (1, 1, 1)
    assert len(clock.warnings()) == 3


@pytest.mark.parametrize("text", ["", "noon", "2025-02-29T00:00:00", "12:00", "1e9", "0001-01-01T00:00:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Clock(BERLIN).read(text)


def test_microseconds_are_cut_off() -> None:
    assert instant(datetime(1970, 1, 1, 0, 0, 1, 1999, tzinfo=UTC)) == 1001
    assert instant(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
