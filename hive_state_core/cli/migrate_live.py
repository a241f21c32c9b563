"""The commands of `hive-state migrate` that look after a hive that moves while it works."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from hive_state_core.cli import migrate_status
from hive_state_core.cli.frame import async_command, json_option
from hive_state_core.cli.migrate_begin import plan, start
from hive_state_core.cli.migrate_carrying import compare_all, on_to_verified
from hive_state_core.cli.migrate_cross import complete, rollback, switch
from hive_state_core.cli.migrate_knobs import knobs, turned
from hive_state_core.cli.migrate_sides import chosen, chosen_live, known_sides
from hive_state_core.cli.migrate_words import CHECKED, tell_checked, tell_found, tell_status


@click.command()
@known_sides
@json_option({**migrate_status.STATUS, **CHECKED})
@async_command
async def advance(source: str | None, target: str | None, as_json: bool) -> int:
    """Do what the next phase needs, up to verified. The one after that is `switch`."""
    from hive_state_core.migration.opening import prepare
    from hive_state_core.migration.phases import Phase

    async with chosen_live(source, target) as (one, other, live):
        _, seen = await live.require_job()
    if seen.phase is Phase.PREPARED:  # also with what is left of a copy that was given up
        await prepare(one, other)
    async with chosen_live(source, target) as (_, _, live):
        await live.capture()
        return await on_to_verified(live, as_json)


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
        return tell_checked(await compare_all(live, as_json), as_json)


@click.command()
@known_sides
@click.option("--watch", type=click.FloatRange(0.2, 3600), metavar="SECONDS", help="Again and again.")
@json_option(migrate_status.STATUS)
@async_command
async def status(source: str | None, target: str | None, watch: float | None, as_json: bool) -> None:
    """Say how far the migration is, and what to type next."""
    async with chosen(source, target) as (one, other):
        while (found := await migrate_status.not_begun(one, other)) is not None:
            tell_found(found, as_json, watched=watch is not None)
            if watch is None:
                return
            await asyncio.sleep(watch)
    async with chosen_live(source, target) as (_, _, live):
        while True:
            tell_found(await migrate_status.look(live), as_json, watched=watch is not None)
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
        await tell_status(live, as_json)


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
        await live.change(paused=False, paused_by=None, **turned(given))
        await tell_status(live, as_json)


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
