"""What `hive-state migrate status` says."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hive_state_core.cli import show
from hive_state_core.cli.frame import Keys
from hive_state_core.cli.migrate_progress import in_words, progress_of
from hive_state_core.cli.migrate_sides import named_by

if TYPE_CHECKING:
    from hive_state_core.choosing import Choice
    from hive_state_core.migration.findings import Findings
    from hive_state_core.migration.live import Live
    from hive_state_core.migration.phases import Job, Phase, Situation

MARKS = 10_000
"""So many marks are counted; more are "10,000 or more"."""

STATUS: Keys = {
    "from": "the store that the hive leaves",
    "to": "the store that it moves to",
    "phase": "see the phases of a live migration",
    "step": "the number of the phase",
    "steps": "of the last phase",
    "lives_in": "where the hive lives now",
    "next": "the command to type",
    "paused": "whether nothing is copied and sent; this and the rest only while it is under way",
    "paused_by": "the trigger that paused it, or null",
    "chunk": "rows in a transaction of the copy",
    "throttle": "seconds of rest after each, at least",
    "budget": "seconds that writes may wait for a switch",
    "copied": "rows that were copied, by kind",
    "rows": "rows that the old store says it has, by kind",
    "doing": "copying or comparing, while somebody does that, or null",
    "done": "how much of that is done, about, from 0 to 1, or null",
    "left_s": "seconds until it is done, about, by the rate of the last minute, or null",
    "marks": "what waits to be sent on, counted up to 10,000",
    "oldest_mark_ms": "for how long, or null",
    "verified_at": "when all was found to be the same, or null",
    "compared": "rows, at that time",
    "repaired": "rows that were lost, and sent once more",
    "shadow_reads": "reads that were repeated on the other store",
    "shadow_wrong": "those of them that differed",
    "wrong": "what differs, and why",
    "poison": "what the new store would not take, and why",
    "waived": "poison that is left behind",
    "triggers": {"mode": "act, watch or off", "fired": "at, trigger, value, most, severity, done of each"},
    "processes": {
        "pid": "of the process",
        "host": "where it runs",
        "store": "by which name it opened the hive",
        "can_follow": "whether it knows the other store",
        "is_current": "whether it has seen the newest control row",
    },
}


async def not_begun(one: Choice, other: Choice) -> dict[str, Any] | None:
    """What is to be said before the store to which the hive may move was made; None: it is there, or was."""
    from hive_state_core.migration.opening import name_of
    from hive_state_core.migration.phases import Phase, read_job
    from hive_state_core.store import open_store

    if (await open_store(other, follow=False).inspect_schema()).found is not None:
        return None
    async with open_store(one, janitor=False, follow=False) as hive:
        if await read_job(hive.replication()) is not None:
            return None
    names = name_of(one), name_of(other)
    return {**_about(names, Phase.LEGACY, names[0]), "next": f"hive-state migrate plan{_both(names)}"}


async def look(live: Live) -> dict[str, Any]:
    """Everything that is to be said, as JSON has it."""
    from hive_state_core.migration.findings import read_findings
    from hive_state_core.migration.phases import Phase

    seen = await live.look()
    about = _about(live.names, seen.phase, live.names[1] if seen.back else live.names[0])
    if seen.job is None or seen.phase is Phase.COMPLETED:
        return {**about, "next": _next(seen, live.names, None)}
    findings = await read_findings(live.source)
    rows = await counts(live)
    return {
        **about,
        **_knobs(seen.job),
        "copied": await _copied(live),
        "rows": rows,
        **await progress_of(live, seen, rows),
        **await _waiting(live, seen),
        **_found(findings),
        "triggers": await _triggers(live, seen.job),
        "processes": await _processes(live, seen),
        "next": _next(seen, live.names, findings),
    }


def _about(names: tuple[str, str], phase: Phase, lives_in: str) -> dict[str, Any]:
    from hive_state_core.migration.phases import WAY

    return {
        "from": names[0],
        "to": names[1],
        "phase": phase.value,
        "step": WAY.index(phase),
        "steps": len(WAY) - 1,
        "lives_in": lives_in,
    }


async def counts(live: Live) -> dict[str, int]:
    """Of what the source itself counts: about what there is to copy."""
    stats = await live.drivers[0].stats()
    tasks = sum(sum(queue.states.values()) for queue in stats.queues.values())
    return {"record": sum(stats.records.values()), "task": tasks, "event": sum(stats.streams.values())}


async def _triggers(live: Live, job: Job) -> dict[str, Any]:
    from hive_state_core.migration.triggers import read_fired

    fired = await read_fired(live.source)
    return {"mode": job.triggers, "fired": msgspec.to_builtins(fired)}


def _knobs(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in ("paused", "paused_by", "chunk", "throttle", "budget")}


async def _copied(live: Live) -> dict[str, int]:
    from hive_state_core.migration.job import read_cursor

    return {str(kind): count for kind, count in (await read_cursor(live.target)).copied.items()}


async def _waiting(live: Live, seen: Situation) -> dict[str, Any]:
    from hive_state_core.migration.judging import oldest_mark_ms
    from hive_state_core.spi import PEER

    driver, port = (live.drivers[1], live.target) if seen.back else (live.drivers[0], live.source)
    marks = await port.marks(PEER, MARKS)
    return {"marks": len(marks), "oldest_mark_ms": await oldest_mark_ms(driver, port)}


def _found(findings: Findings) -> dict[str, Any]:
    at = findings.verified_at
    return {
        "verified_at": None
        if at is None
        else datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds"),
        "compared": findings.compared,
        "repaired": findings.repaired,
        "shadow_reads": findings.shadowed,
        "shadow_wrong": findings.shadow_wrong,
        "wrong": findings.wrong,
        "poison": findings.poison,
        "waived": sorted(findings.waived),
    }


async def _processes(live: Live, seen: Situation) -> list[dict[str, Any]]:
    from hive_state_core.migration.presence import processes

    side = 1 if seen.back else 0
    row = (seen.source, seen.target)[side]
    return [
        {
            "pid": each.pid,
            "host": each.host,
            "store": each.store,
            "can_follow": live.names[1 - side] in each.knows,
            "is_current": each.epoch >= row.epoch,
        }
        for each in await processes(live.drivers[side], (live.source, live.target)[side])
    ]


def _next(seen: Situation, names: tuple[str, str], findings: Findings | None) -> str:
    """The command to type."""
    from hive_state_core.migration.phases import Phase

    if seen.job is None:
        return f"hive-state migrate start{_both(names)}"
    if seen.phase is Phase.COMPLETED:
        return f'nothing: write use = "{names[1]}" in hive-state.toml'
    if seen.job.paused:
        word = "resume"
    elif findings is not None and not findings.clean:
        word = "verify"
    else:
        word = {Phase.VERIFIED: "switch", Phase.SWITCH: "run", Phase.REVERSE: "complete"}.get(
            seen.phase, "advance"
        )
    or_back = ", or rollback" if word == "complete" else ""
    return f"hive-state migrate {word}{'' if _is_known(names) else _both(names)}{or_back}"


def _both(names: tuple[str, str]) -> str:
    one, other = map(shlex.quote, names)
    return f" --from {one} --to {other}"


def _is_known(names: tuple[str, str]) -> bool:
    """Whether the store in use is one of these, or made of them: then a command need not name them."""
    from hive_state_core.choosing import choose
    from hive_state_core.errors import ConfigError
    from hive_state_core.migration.opening import name_of

    try:
        used = choose()
        return not {name_of(each) for each in (used, *(named_by(used) or ()))}.isdisjoint(names)
    except ConfigError:
        return False


def tell(found: dict[str, Any]) -> None:
    """For people."""
    show.facts([(name, value) for name, value in _facts(found) if value is not None])
    for word in ("wrong", "poison"):
        for what, why in list(found.get(word, {}).items())[:20]:
            click.echo(f"{word}: {what}: {why}")
    if found.get("processes"):
        click.echo()
        headers = ("pid", "host", "store", "can follow", "is current")
        rows = [
            [str(each["pid"]), *(each[key.replace(" ", "_")] for key in headers[1:])]
            for each in found["processes"]
        ]
        show.table(headers, rows, empty="")


def _facts(found: dict[str, Any]) -> list[tuple[str, str | None]]:
    phase = f"{found['phase']} ({found['step']} of {found['steps']})" + (
        f", {paused(found['paused_by'])}" if found.get("paused") else ""
    )
    facts = [
        ("migration", f"{found['from']} -> {found['to']}"),
        ("phase", phase),
        ("lives in", found["lives_in"]),
    ]
    if "marks" in found:
        facts += [
            ("copied", _how_far(found)),
            ("doing", in_words(found)),
            ("waiting", _marks(found["marks"], found["oldest_mark_ms"])),
            ("compared", _compared(found)),
            ("triggers", _fired(found["triggers"])),
        ]
    return [*facts, ("next", found["next"])]


def paused(trigger: str | None) -> str:
    """That it is, and by what."""
    return "paused" if trigger is None else f"paused by the trigger {trigger!r}"


def _how_far(found: dict[str, Any]) -> str:
    copied, rows = sum(found["copied"].values()), sum(found["rows"].values())
    if found["phase"] in ("prepared", "dual"):
        return f"{copied:,} of about {rows:,}"
    return f"{copied:,}, which is all that was there; what came later is sent on"


def _fired(triggers: dict[str, Any]) -> str:
    if not triggers["fired"]:
        return f"{triggers['mode']}; none has fired"
    last = triggers["fired"][-1]
    done = "" if last["done"] else "not done: "
    at = datetime.fromtimestamp(last["at"] / 1000, UTC).isoformat(timespec="seconds")
    what = f"{last['trigger']} {last['value']:.4g} above {last['most']:g}: {done}{last['severity']}"
    return f"{triggers['mode']}; {len(triggers['fired'])} fired, the last at {at}: {what}"


def _marks(marks: int, oldest: int | None) -> str:
    if not marks:
        return "nothing is marked"
    more = " or more" if marks >= MARKS else ""
    return f"{marks:,}{more} marks, the oldest about {(oldest or 0) / 1000:.1f} s old"


def _compared(found: dict[str, Any]) -> str:
    if found["verified_at"] is None:
        return "not yet" if not found["wrong"] else "something is wrong"
    repaired = f", {found['repaired']} sent once more" if found["repaired"] else ""
    return f"{found['compared']:,} at {found['verified_at']}{repaired}"
