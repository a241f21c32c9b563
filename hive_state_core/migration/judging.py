"""Whether a live migration may go on: what stands in the way of its beginning, and of a switch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from msgspec.structs import replace

from hive_state_core.errors import InvalidArgument
from hive_state_core.features import Durability, Facility
from hive_state_core.images import instant_of
from hive_state_core.migration.checking import Check, Checked, Tell
from hive_state_core.migration.findings import Findings, change_findings, read_findings, told
from hive_state_core.migration.live import Live
from hive_state_core.migration.phases import Phase, Situation
from hive_state_core.migration.presence import instant, processes
from hive_state_core.migration.running import NEEDED
from hive_state_core.spi import PEER, Driver, Examining, Finding, Replication, Span

SKEW_MS = 1000
"""So far may the clocks of the two stores be apart."""

ROOM = 2
"""How many times the size of the old store has to be free where the new one is."""

MANY = 100_000
"""Marks among which those are looked for that are waived."""

OLDEST = 20
"""So many of the oldest marks are looked at for one that tells its instant."""

FRESH_MS = 24 * 3600 * 1000
"""A comparison that is older than that does not count any more."""


async def verify(live: Live, tell: Tell) -> Checked:
    """Compare everything; keep what was found in the source. copied -> verified, if nothing is wrong."""
    _, seen = await live.require_job(Phase.COPIED, Phase.VERIFIED, Phase.REVERSE)
    waived = (await read_findings(live.source)).waived
    checked = await Check(live, seen, tell, waived).run()
    at = await instant(live.drivers[1 if seen.back else 0])
    compared = sum(checked.compared.values())

    def change(old: Findings) -> Findings:
        verified_at = at if checked.clean else None
        return replace(
            old,
            poison={},
            wrong=checked.wrong,
            verified_at=verified_at,
            compared=compared,
            repaired=checked.repaired,
            shadowed=0,
            shadow_wrong=0,
        )

    await change_findings(live.source, change)
    if checked.clean and seen.phase is Phase.COPIED:
        await live.reach(Phase.VERIFIED)
    return checked


async def waive(live: Live, names: Collection[str]) -> None:
    """Leave these behind: entities that the other store would not take, in the words of `status`, at the
    version that they have. Raises InvalidArgument for what is not among those."""
    _, seen = await live.require_job()
    findings = await read_findings(live.source)
    if unknown := [name for name in names if name not in findings.poison]:
        known = ", ".join(sorted(findings.poison)) or "there is none"
        raise InvalidArgument(f"{unknown[0]!r} is not poison; that is: {known}")
    port = live.target if seen.back else live.source
    marks = await port.marks(PEER, MANY)
    await port.clear(PEER, [mark for mark in marks if told(mark.ref) in names])

    def change(old: Findings) -> Findings:
        left = {name: why for name, why in old.poison.items() if name not in names}
        return replace(old, poison=left, waived=old.waived | frozenset(names))

    await change_findings(live.source, change)


async def examined(live: Live) -> list[tuple[str, Finding]]:
    """What `hive-state doctor` finds not to be in order, and of which store: versions, rights, room."""
    return [
        (name, finding)
        for name, driver in zip(live.names, live.drivers, strict=True)
        if isinstance(driver, Examining)
        for finding in await driver.examine()
        if finding.status != "ok"
    ]


async def against_start(live: Live, *, accept_durability: bool) -> list[str]:
    """What stands in the way of a migration between these stores, each with what to do about it."""
    found = [reason async for reason in _lacking(live)]
    if (apart := await skew(live)) > SKEW_MS:
        found.append(f"the clocks of the two stores are {apart / 1000:.1f} s apart: set them right")
    if not accept_durability:
        found += _volatile(live)
    found += await _cramped(live)
    for name, finding in await examined(live):
        if finding.status == "fail":
            found.append(f"{name}: {finding.sentence}" + (f": {finding.mend}" if finding.mend else ""))
    return found


def weaker(live: Live) -> list[str]:
    """What is worth knowing of a target that promises readers less."""
    here, there = (driver.features.consistency for driver in live.drivers)
    if there >= here:
        return []
    (old, new), (more, less) = live.names, (here.name.lower(), there.name.lower())
    told = f"a read in {new} ({less}) may return less than in {old} ({more})"
    return [f"{told}: what has to see the newest write of another process reads with fresh=True"]


async def against_switch(live: Live, seen: Situation) -> list[str]:
    """What stands in the way of a switch, each with what to do about it."""
    found = []
    findings = await read_findings(live.source)
    now = await instant(live.drivers[0])
    if not findings.clean:
        count = len(findings.poison) + len(findings.wrong)
        found.append(f"not as they should be: {count} entities; hive-state migrate status names them")
    if seen.phase is not Phase.VERIFIED:
        found.append(f"the phase is {seen.phase.value}, not verified: hive-state migrate advance")
    elif findings.verified_at is None or now - findings.verified_at > FRESH_MS:
        found.append("the stores were not compared for a day: hive-state migrate verify")
    if (apart := await skew(live)) > SKEW_MS:
        found.append(f"the clocks of the two stores are {apart / 1000:.1f} s apart: set them right")
    for process in await processes(live.drivers[0], live.source):
        if live.names[1] not in process.knows:
            found.append(
                f"process {process.pid} on {process.host} does not know the store {live.names[1]}: it would"
                " be refused; add that store to its configuration, and restart it"
            )
        elif process.reaches is False:
            found.append(
                f"process {process.pid} on {process.host} cannot reach the store {live.names[1]}: look at"
                " its network, its rights, and its configuration"
            )
        elif process.reaches is None:
            found.append(
                f"process {process.pid} on {process.host} makes ready to go to {live.names[1]}: wait"
            )
        elif process.epoch < seen.source.epoch:
            found.append(f"process {process.pid} on {process.host} has not seen the newest state yet: wait")
    return found


async def skew(live: Live) -> int:
    """Milliseconds between the clocks of the two stores, less what the asking took at most."""
    before = await instant(live.drivers[0])
    theirs = await instant(live.drivers[1])
    after = await instant(live.drivers[0])
    return max(before - theirs, theirs - after, 0)


async def oldest_mark_ms(driver: Driver, port: Replication) -> int | None:
    """How long ago the change was made that waits the longest to be sent, about; None: nothing waits. Streams
    and groups do not tell when they changed: then what changed next counts, or 0."""
    marks = await port.marks(PEER, OLDEST)
    if not marks:
        return None
    images = await port.images([mark.ref for mark in marks])
    at = next(filter(None, [instant_of(image) for image in images if image is not None]), 0)
    return max(0, await instant(driver) - at) if at else 0


async def _lacking(live: Live) -> AsyncIterator[str]:
    missing: dict[Facility, Sequence[object]] = {}
    for kind, facility in NEEDED.items():
        if facility not in missing and not live.drivers[1].features.has(facility):
            missing[facility] = await live.source.export(Span(kind=kind, limit=1))
    for facility, images in missing.items():
        if images:
            yield f"{live.names[1]} does not offer {facility.value}, which {live.names[0]} makes use of"


async def _cramped(live: Live) -> list[str]:
    """Where the target's disk may not hold what the source does."""
    held, target = (await live.drivers[0].stats()).size_bytes, live.drivers[1]
    findings = await target.examine() if isinstance(target, Examining) else ()
    return [
        f"{live.names[0]} takes {held / 1e6:,.0f} MB, of which {live.names[1]} would want up to"
        f" {ROOM * held / 1e6:,.0f}, with its write-ahead log: {each.sentence}; make room"
        for each in findings
        if held is not None and each.free is not None and each.free < ROOM * held
    ]


def _volatile(live: Live) -> list[str]:
    return [
        f"{name} has the durability {driver.features.durability.name}, so a power cut may lose what was"
        " acknowledged there: set it up to sync to disk, or say --accept-durability"
        for name, driver in zip(live.names, live.drivers, strict=True)
        if driver.features.durability < Durability.FSYNC
    ]
