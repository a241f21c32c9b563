"""When a live migration is slowed down, paused, or taken back by itself: what is watched, and for how long it
must last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple

import msgspec

from hive_state_core.spi import Replication

TRIGGERED = "migration/triggers"

KEPT = 20
"""So many that fired are remembered."""


class Severity(Enum):
    THROTTLE = "throttle"  #: the copy and the sending rest longer between their rounds
    PAUSE = "pause"  #: they end until somebody resumes them; what changes is marked all the same
    BACK = "back a phase"  #: what was verified does not count any more; nobody switches
    SWITCH_BACK = "switch back"  #: the hive comes back, if it has left; else as BACK


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """about    what is measured, in words
    most     it fires above that
    window   once it was above for so many seconds
    samples  a reading of fewer says nothing
    rest     seconds until it may fire again
    """

    name: str
    about: str
    most: float
    window: float
    samples: int = 1
    rest: float
    severity: Severity


TRIGGERS = (
    Trigger(
        name="validation",
        about="entities that a comparison found to be wrong",
        most=0,
        window=0,
        rest=600,
        severity=Severity.SWITCH_BACK,
    ),
    Trigger(
        name="differences",
        about="share of the reads that the other store answers wrongly",
        most=0,
        window=0,
        samples=500,
        rest=600,
        severity=Severity.SWITCH_BACK,
    ),
    Trigger(
        name="regression",
        about="how many times longer writes take than before the migration",
        most=1.5,
        window=30,
        samples=200,
        rest=60,
        severity=Severity.THROTTLE,
    ),
    Trigger(
        name="slow writes",
        about="the same",
        most=2,
        window=120,
        samples=200,
        rest=600,
        severity=Severity.PAUSE,
    ),
    Trigger(
        name="infrastructure",
        about="seconds for which a store could not be reached",
        most=30,
        window=0,
        rest=60,
        severity=Severity.PAUSE,
    ),
    Trigger(
        name="errors",
        about="share of the rounds of sending that failed in half a minute",
        most=0.05,
        window=0,
        samples=50,
        rest=30,
        severity=Severity.THROTTLE,
    ),
    Trigger(
        name="mark age",
        about="seconds since the change that waits the longest to be sent",
        most=30,
        window=10,
        rest=300,
        severity=Severity.BACK,
    ),
    Trigger(
        name="seal budget",
        about="switches in a row that were given up",
        most=2,
        window=0,
        rest=600,
        severity=Severity.BACK,
    ),
)


class Reading(NamedTuple):
    value: float
    samples: int = 1


class Watch:
    """Of one process: since when each trigger has been above its bound. Instants are of one clock that only
    goes forward."""

    def __init__(self, triggers: tuple[Trigger, ...] = TRIGGERS) -> None:
        self._triggers = triggers
        self._since: dict[str, float] = {}
        self._rests: dict[str, float] = {}

    def judge(self, readings: Mapping[str, Reading], now: float) -> Iterator[tuple[Trigger, Reading]]:
        """Those that fire. What could not be read is not above its bound."""
        for trigger in self._triggers:
            reading = readings.get(trigger.name)
            if reading is None or reading.samples < trigger.samples or reading.value <= trigger.most:
                self._since.pop(trigger.name, None)
                continue
            since = self._since.setdefault(trigger.name, now)
            if now - since >= trigger.window and now >= self._rests.get(trigger.name, now):
                self._rests[trigger.name] = now + trigger.rest
                yield trigger, reading


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """at        instant of the store
    value     what was read then, above `most`
    done      whether the severity was acted on; else that is what would have been done
    """

    at: int
    trigger: str
    value: float
    most: float
    severity: Severity
    done: bool


async def read_fired(port: Replication) -> list[Fired]:
    """The last ones, oldest first."""
    data = (await port.notes()).get(TRIGGERED)
    return [] if data is None else msgspec.json.decode(data, type=list[Fired])


async def add_fired(port: Replication, fired: Fired) -> None:
    while True:
        data = (await port.notes()).get(TRIGGERED)
        before = [] if data is None else msgspec.json.decode(data, type=list[Fired])
        changed = msgspec.json.encode([*before, fired][-KEPT:])
        if await port.note({TRIGGERED: changed}, expect={TRIGGERED: data}):
            return
