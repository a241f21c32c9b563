"""Who works on a live migration watches it: reads what `triggers` are about, and does what they say."""

from __future__ import annotations

import logging
from collections import deque
from time import monotonic

from hive_state_core.migration.crossing import cross
from hive_state_core.migration.findings import read_findings
from hive_state_core.migration.judging import oldest_mark_ms
from hive_state_core.migration.live import Live
from hive_state_core.migration.phases import Job, Phase, Situation, read_job
from hive_state_core.migration.presence import Process, instant, processes
from hive_state_core.migration.triggers import (
    Fired,
    Reading,
    Severity,
    Trigger,
    Watch,
    add_fired,
    read_fired,
)

RECENT = 30.0
"""Seconds over which rounds that failed are counted."""

MOVES = 2
"""So many times a migration goes back by itself; then it waits for somebody."""

RESTS = 0.05, 1.0
"""Seconds: the first throttle, and the longest."""

log: logging.Logger = logging.getLogger("hive_state")


class Guard:
    """Of one worker."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._watch = Watch()
        self._rounds: deque[tuple[float, bool]] = deque()
        self._reached = monotonic()

    def count(self, *, failed: bool) -> None:
        """A round of sending."""
        now = monotonic()
        self._rounds.append((now, failed))
        while self._rounds[0][0] < now - RECENT:
            self._rounds.popleft()

    def reached(self) -> None:
        """Both stores were looked at just now."""
        self._reached = monotonic()

    async def look(self, seen: Situation) -> None:
        """Read everything, as who works on it."""
        if seen.job is not None and seen.job.triggers != "off":
            await self._judge(seen.job, seen, await self._readings(seen))

    async def troubled(self) -> None:
        """One of them is not, or something else failed."""
        self.count(failed=True)
        job = await read_job(self._live.source)
        if job is not None and job.triggers != "off" and not job.paused:
            seconds = monotonic() - self._reached
            await self._judge(job, None, {"infrastructure": Reading(seconds), "errors": self._failed()})

    async def _readings(self, seen: Situation) -> dict[str, Reading]:
        live, side = self._live, 1 if seen.back else 0
        driver, port = live.drivers[side], (live.source, live.target)[side]
        findings = await read_findings(live.source)
        readings = {
            "validation": Reading(len(findings.wrong)),
            "seal budget": Reading(findings.given_up),
            "differences": Reading(findings.shadow_wrong / max(findings.shadowed, 1), findings.shadowed),
            "errors": self._failed(),
        }
        if seen.phase in (Phase.VERIFIED, Phase.REVERSE):  # what waited for the copy's end was sent by then
            readings["mark age"] = Reading((await oldest_mark_ms(driver, port) or 0) / 1000)
        if not seen.back:
            tempo = slower(await processes(driver, port))
            readings |= {"regression": tempo, "slow writes": tempo}
        return readings

    def _failed(self) -> Reading:
        failed = sum([failed for _, failed in self._rounds])
        return Reading(failed / max(len(self._rounds), 1), len(self._rounds))

    async def _judge(self, job: Job, seen: Situation | None, readings: dict[str, Reading]) -> None:
        for trigger, reading in self._watch.judge(readings, monotonic()):
            acts = job.triggers == "act" and await self._may(trigger.severity)
            done = acts and await self._act(trigger, job, seen)
            await self._tell(trigger, reading, done)

    async def _may(self, severity: Severity) -> bool:
        going = (Severity.BACK, Severity.SWITCH_BACK)
        fired = await read_fired(self._live.source)
        moves = sum([each.done and each.severity in going for each in fired])
        return severity not in going or moves < MOVES

    async def _act(self, trigger: Trigger, job: Job, seen: Situation | None) -> bool:
        """Whether there was something to do. `seen` None: the stores cannot be looked at both."""
        live, severity = self._live, trigger.severity
        if severity is Severity.THROTTLE:
            await live.change(throttle=min(max(2 * job.throttle, RESTS[0]), RESTS[1]))
            return True
        if severity is Severity.PAUSE:
            await live.pause(job, trigger.name)
            return True
        if severity is Severity.SWITCH_BACK and seen is not None and seen.phase is Phase.REVERSE:
            await live.distrust()
            await cross(live, back=True)
            return True
        if seen is not None and seen.phase is Phase.VERIFIED:
            await live.distrust()
            return True
        return False

    async def _tell(self, trigger: Trigger, reading: Reading, done: bool) -> None:
        log.warning(
            "%s: %.4g is above %.4g (%s): %s%s",
            *(trigger.name, reading.value, trigger.most, trigger.about),
            *("" if done else "not done: ", trigger.severity.value),
        )
        fired = Fired(
            at=await instant(self._live.drivers[0]),
            trigger=trigger.name,
            value=reading.value,
            most=trigger.most,
            severity=trigger.severity,
            done=done,
        )
        await add_fired(self._live.source, fired)


def slower(found: list[Process]) -> Reading:
    """How many times longer a write trip takes than usually, over those processes that know both."""
    known = [each for each in found if each.usual_ms and each.now_ms]
    usual = sum([(each.usual_ms or 0) * each.trips for each in known])
    now = sum([(each.now_ms or 0) * each.trips for each in known])
    return Reading(now / usual if usual else 0.0, sum([each.trips for each in known]))
