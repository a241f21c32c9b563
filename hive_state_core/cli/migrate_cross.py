"""`hive-state migrate switch`, `rollback` and `complete`: where the hive lives."""

from __future__ import annotations

import click

from hive_state_core.cli import migrate_status
from hive_state_core.cli.acting import dangerous
from hive_state_core.cli.frame import EXIT, async_command, json_option
from hive_state_core.cli.migrate_sides import chosen_live, known_sides
from hive_state_core.cli.migrate_words import CROSSED, OBSTACLES, tell_crossed, tell_obstacles, tell_status


@click.command()
@known_sides
@click.option("--force", is_flag=True, help="Although something stands in the way; that is told.")
@json_option({**migrate_status.STATUS, **CROSSED, **OBSTACLES})
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
            await tell_status(live, as_json)
            return EXIT.OK
        obstacles = await against_switch(live, seen)
        if obstacles:
            tell_obstacles(obstacles, as_json and not force)
            if not force:
                return EXIT.PRECONDITION
        crossed = await cross(live)
        tell_crossed(live.names[1], crossed, as_json)
        return EXIT.OK


@click.command()
@known_sides
@json_option({**migrate_status.STATUS, **CROSSED})
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
            tell_crossed(live.names[0], crossed, as_json)
            return
    await begin_anew(one, other)
    async with chosen_live(source, target) as (_, _, live):
        await tell_status(live, as_json)


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
        await tell_status(live, as_json)
