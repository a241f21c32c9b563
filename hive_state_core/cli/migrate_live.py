"""The commands of `hive-state migrate` for a hive that works on."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from hive_state_core.cli import migrate_status, show
from hive_state_core.cli.acting import dangerous
from hive_state_core.cli.frame import EXIT, Keys, async_command, emit_json, json_option
from hive_state_core.cli.migrate_sides import chosen, chosen_live, known_sides
from hive_state_core.cli.progress import Progress

if TYPE_CHECKING:
    from hive_state_core.choosing import Choice
    from hive_state_core.migration.checking import Checked
    from hive_state_core.migration.crossing import Crossed
    from hive_state_core.migration.live import Live
    from hive_state_core.migration.phases import Job


OBSTACLES: Keys = {"obstacles": "what stands in the way, in words; the exit code is 4 then"}
CHECKED: Keys = {
    "clean": "whether nothing is wrong",
    "compared": "rows, by kind",
    "reread": "how many of them as a reader sees them",
    "repaired": "rows that were lost, and sent once more",
    "found": "what differs, and why",
}
CROSSED: Keys = {
    "lives_in": "where the hive lives now",
    "sealed_ms": "for how long nobody could write",
    "drained": "marks that were sent meanwhile",
    "steps": "milliseconds of each",
}
PLAN: Keys = {
    "steps": "what would be done, in words",
    "rows": "about how many there are, by kind",
    "warnings": "what is worth knowing, in words",
}


def knobs(command: Any) -> Any:
    """Adds `--chunk`, `--throttle`, `--budget` and `--triggers`; None for what was left out."""
    command = click.option("--triggers", type=click.Choice(["act", "watch", "off"]), help=_TRIGGERS)(command)
    command = click.option("--budget", type=click.FloatRange(0.1, 30), metavar="SECONDS", help=_BUDGET)(
        command
    )
    command = click.option("--throttle", type=click.FloatRange(0, 60), metavar="SECONDS", help=_THROTTLE)(
        command
    )
    return click.option("--chunk", type=click.IntRange(1, 100_000), metavar="ROWS", help=_CHUNK)(command)


_TRIGGERS = "What rollback triggers do: act on their own, say what they would have done, nothing (act)."
_CHUNK = "Rows of a transaction of the copy (2000)."
_THROTTLE = "Rest after each of them, at least; twice as long as it took, up to 1 s (0)."
_BUDGET = "Writes may wait for so long for a switch before it is given up (2)."
ACCEPT = click.option("--accept-durability", is_flag=True, help="Go on although a power cut may lose writes.")
BACKUP = click.option(
    "--backup",
    type=click.File("xb"),
    help="Export --from into this new file first; of a hive at work page by page.",
)


@click.command()
@known_sides
@ACCEPT
@BACKUP
@json_option({**PLAN, **OBSTACLES})
@async_command
async def plan(
    source: str | None, target: str | None, accept_durability: bool, backup: BinaryIO | None, as_json: bool
) -> int:
    """Say what a live migration would do and what stands in its way. Nothing is changed but the schema of
    --to, if it has none. Exits with 4 if something stands in the way."""
    from hive_state_core.apart import left_behind
    from hive_state_core.migration.judging import examined, weaker
    from hive_state_core.migration.opening import live

    async with chosen(source, target) as (one, other):
        await _back_up(one, backup)
        obstacles = await _obstacles(one, other, accept_durability)
        async with live(one, other) as ready:
            rows = await migrate_status.counts(ready)
            found = await examined(ready)
            old, new = ready.names
            behind = [
                each
                for name, side in zip(ready.names, ready.drivers, strict=True)
                for each in left_behind(name, side.features)
            ]
    warnings = [
        *behind,
        *weaker(ready),
        *(f"{name}: {each.sentence}" for name, each in found if each.status == "warn"),
    ]
    steps = [
        f"start: {new} becomes a standby, and what changes in {old} is marked from then on",
        f"copy: about {sum(rows.values()):,} rows go over, what is marked is sent on, and all is compared",
        f"switch: writes wait for a moment, then the hive lives in {new}",
        f"reverse: {old} is kept current; rollback brings the hive back, with all that was written",
        "complete: there is no way back any more",
    ]
    if as_json:
        emit_json({"steps": steps, "rows": rows, "warnings": warnings, "obstacles": obstacles})
    else:
        for line in [*steps, *(f"worth knowing: {warning}" for warning in warnings)]:
            click.echo(line)
        _tell_obstacles(obstacles, as_json)
    return EXIT.PRECONDITION if obstacles else EXIT.OK


@click.command()
@known_sides
@ACCEPT
@BACKUP
@knobs
@json_option({**migrate_status.STATUS, **OBSTACLES, **CHECKED})
@async_command
async def start(
    source: str | None,
    target: str | None,
    accept_durability: bool,
    backup: BinaryIO | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Begin to move a hive that works on, or go on.

    Mark what changes, copy, send on, compare.

    Ends when --to has everything and was compared with it. Nothing waits meanwhile. Ctrl-C is harmless: the
    same command goes on. What changes has to be sent on by somebody until the switch, and after it: by the
    processes of the hive, if they open a dual-write store, or by `hive-state migrate run`.
    """
    from hive_state_core.migration.opening import live, prepare

    async with chosen(source, target) as (one, other):
        if obstacles := await _obstacles(one, other, accept_durability):
            _tell_obstacles(obstacles, as_json)
            return EXIT.PRECONDITION
        await _back_up(one, backup)
        await prepare(one, other, **_given(given))
        async with live(one, other) as ready:
            await ready.capture()
            return await _on_to_verified(ready, as_json)


@click.command()
@known_sides
@json_option({**migrate_status.STATUS, **CHECKED})
@async_command
async def advance(source: str | None, target: str | None, as_json: bool) -> int:
    """Do what the next phase needs, up to verified. The one after that is `switch`."""
    async with chosen_live(source, target) as (_, _, live):
        await live.require_job()
        await live.capture()
        return await _on_to_verified(live, as_json)


@click.command()
@known_sides
@click.option(
    "--waive", multiple=True, metavar="ENTITY", help="Leave this poison behind, named as by status."
)
@json_option(CHECKED)
@async_command
async def verify(source: str | None, target: str | None, waive: tuple[str, ...], as_json: bool) -> int:
    """Compare both stores, while the hive works. What was lost is sent once more. Exits with 3 if something
    is wrong that does not mend itself."""
    from hive_state_core.migration import judging

    async with chosen_live(source, target) as (_, _, live):
        if waive:
            await judging.waive(live, waive)
        return _tell_checked(await _verify(live, as_json), as_json)


@click.command()
@known_sides
@click.option("--watch", type=click.FloatRange(0.2, 3600), metavar="SECONDS", help="Again and again.")
@json_option(migrate_status.STATUS)
@async_command
async def status(source: str | None, target: str | None, watch: float | None, as_json: bool) -> None:
    """Say how far the migration is, and what to type next."""
    async with chosen_live(source, target) as (_, _, live):
        while True:
            found = await migrate_status.look(live)
            if as_json:
                emit_json(found)
            else:
                if watch is not None:
                    show.clear()
                migrate_status.tell(found)
            if watch is None:
                return
            await asyncio.sleep(watch)


@click.command()
@known_sides
@json_option(migrate_status.STATUS)
@async_command
async def pause(source: str | None, target: str | None, as_json: bool) -> None:
    """Copy and send nothing for now. What changes is marked all the same."""
    async with chosen_live(source, target) as (_, _, live):
        await live.change(paused=True, paused_by=None)
        await _tell_status(live, as_json)


@click.command()
@known_sides
@knobs
@json_option(migrate_status.STATUS)
@async_command
async def resume(source: str | None, target: str | None, as_json: bool, **given: Any) -> None:
    """Go on after a pause, or with other knobs.

    Those that are given (chunk, throttle, budget, triggers) may be set at any time.
    """
    async with chosen_live(source, target) as (_, _, live):
        await live.change(paused=False, paused_by=None, **_given(given))
        await _tell_status(live, as_json)


@click.command()
@known_sides
@click.option("--force", is_flag=True, help="Although something stands in the way; that is told.")
@json_option({**CROSSED, **OBSTACLES, **migrate_status.STATUS})
@async_command
async def switch(source: str | None, target: str | None, force: bool, as_json: bool) -> int:
    """Let the hive live in the store that it moves to. Writes wait for a moment, and none fails.

    If that takes longer than the budget, the hive goes on where it was. Afterwards what changes is sent back
    to the old store, so that `rollback` loses nothing. Exits with 4 if something stands in the way.
    """
    from hive_state_core.migration.crossing import cross
    from hive_state_core.migration.judging import against_switch
    from hive_state_core.migration.phases import Phase

    async with chosen_live(source, target) as (_, _, live):
        _, seen = await live.require_job()
        if seen.phase in (Phase.REVERSE, Phase.COMPLETED):
            await _tell_status(live, as_json)
            return EXIT.OK
        obstacles = await against_switch(live, seen)
        if obstacles:
            _tell_obstacles(obstacles, as_json and not force)
            if not force:
                return EXIT.PRECONDITION
        crossed = await cross(live)
        _tell_crossed(live.names[1], crossed, as_json)
        return EXIT.OK


@click.command()
@known_sides
@json_option({**CROSSED, **migrate_status.STATUS})
@async_command
async def rollback(source: str | None, target: str | None, as_json: bool) -> None:
    """One step back. After a switch: the hive lives in the old store again, with all that was written since.
    Before it: nothing is marked and sent any more, and the copy is dropped."""
    from hive_state_core.migration.crossing import cross
    from hive_state_core.migration.opening import begin_anew
    from hive_state_core.migration.phases import Phase

    async with chosen_live(source, target) as (one, other, live):
        _, seen = await live.require_job()
        if seen.phase is Phase.REVERSE:
            await live.distrust()
            crossed = await cross(live, back=True)
            _tell_crossed(live.names[0], crossed, as_json)
            return
    await begin_anew(one, other)
    async with chosen_live(source, target) as (_, _, live):
        await _tell_status(live, as_json)


@click.command()
@known_sides
@json_option(migrate_status.STATUS)
@dangerous("The old store will not be kept current any more, and there is no way back. Go on?")
@async_command
async def complete(source: str | None, target: str | None, as_json: bool) -> None:
    """End the migration; there is NO WAY BACK.

    The old store is not kept current any more. It is not removed.
    """
    async with chosen_live(source, target) as (_, _, live):
        await live.complete()
        await _tell_status(live, as_json)


async def work(source: str | None, target: str | None, as_json: bool) -> int:
    """Carry on with the migration that is under way, until Ctrl-C or its end."""
    from hive_state_core.migration.phases import Phase
    from hive_state_core.migration.working import Worker

    async with chosen_live(source, target) as (_, _, live):
        await live.require_job()
        progress = Progress(silent=as_json)
        worker = Worker(live, progress.tell)
        try:
            await worker.until(
                lambda seen: seen.phase in (Phase.LEGACY, Phase.COMPLETED), partial(_tell_pause, progress)
            )
        finally:
            progress.close()
            await worker.release()
        await _tell_status(live, as_json)
    return EXIT.OK


async def _on_to_verified(live: Live, as_json: bool) -> int:
    from hive_state_core.migration.phases import Phase
    from hive_state_core.migration.working import Worker

    progress = Progress(silent=as_json)
    progress.expected = sum((await migrate_status.counts(live)).values())
    worker = Worker(live, progress.tell)
    try:
        seen = await worker.until(lambda seen: seen.phase is not Phase.DUAL, partial(_tell_pause, progress))
        progress.close()
        if seen.phase is Phase.COPIED:
            async with worker.beside():
                checked = await _verify(live, as_json)
            if not checked.clean:
                return _tell_checked(checked, as_json)
    finally:
        progress.close()
        await worker.release()
    await _tell_status(live, as_json)
    return EXIT.OK


async def _verify(live: Live, as_json: bool) -> Checked:
    from hive_state_core.migration.judging import verify as compare

    progress = Progress(silent=as_json)
    try:
        return await compare(live, lambda kind, count: progress.tell("compare", kind, count))
    finally:
        progress.close()


async def _obstacles(one: Choice, other: Choice, accept_durability: bool) -> list[str]:
    """What stands in the way of a migration between these. The schema of the other one is made, if need
    be."""
    from hive_state_core.migration.judging import against_start
    from hive_state_core.migration.opening import live
    from hive_state_core.store import open_store

    await open_store(other, follow=False).upgrade_schema()
    async with live(one, other) as ready:
        return await against_start(ready, accept_durability=accept_durability)


async def _back_up(choice: Choice, file: BinaryIO | None) -> None:
    from hive_state_core.migration.lines import export_lines
    from hive_state_core.store import open_store

    if file is not None:
        async with open_store(choice, janitor=False, follow=False) as hive:
            async for line in export_lines(hive.replication()):
                file.write(line)


def _given(knobs: dict[str, Any]) -> dict[str, Any]:
    """Those that were not left out."""
    return {name: value for name, value in knobs.items() if value is not None}


# --- what is said


def _tell_obstacles(obstacles: list[str], as_json: bool) -> None:
    if as_json:
        emit_json({"obstacles": obstacles})
    for obstacle in obstacles:
        click.echo(f"in the way: {obstacle}", err=True)


def _tell_pause(progress: Progress, job: Job) -> None:
    """Or the command would wait, and nobody knew for what."""
    progress.close()
    click.echo(f"{migrate_status.paused(job.paused_by)}: `hive-state migrate resume` goes on", err=True)


def _tell_checked(checked: Checked, as_json: bool) -> int:
    """The exit code."""
    compared = sum(checked.compared.values())
    if as_json:
        emit_json(
            {
                "clean": checked.clean,
                "compared": checked.compared,
                "reread": checked.reread,
                "repaired": checked.repaired,
                "found": {what: why.value for what, why in checked.found.items()},
            }
        )
    else:
        for what, why in list(checked.found.items())[:20]:
            click.echo(f"{what}: {why.value}")
        end = "nothing is wrong" if checked.clean else "something is wrong that does not mend itself"
        repaired = f", {checked.repaired} sent once more" if checked.repaired else ""
        click.echo(
            f"{compared:,} compared, {checked.reread:,} of them as a reader sees them{repaired}: {end}"
        )
    return EXIT.OK if checked.clean else EXIT.DIFFERENCES


def _tell_crossed(name: str, crossed: Crossed, as_json: bool) -> None:
    if as_json:
        emit_json({"lives_in": name, **msgspec.structs.asdict(crossed)})
    else:
        click.echo(f"the hive lives in {name}; writes waited for {crossed.sealed_ms:.0f} ms")


async def _tell_status(live: Live, as_json: bool) -> None:
    found = await migrate_status.look(live)
    if as_json:
        emit_json(found)
    else:
        migrate_status.tell(found)


LIVE: tuple[click.Command, ...] = (
    plan,
    start,
    advance,
    verify,
    status,
    pause,
    resume,
    switch,
    rollback,
    complete,
)
