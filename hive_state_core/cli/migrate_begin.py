"""`hive-state migrate plan` and `start`: what stands in the way, and the beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import click

from hive_state_core.cli import migrate_status
from hive_state_core.cli.frame import EXIT, Keys, async_command, emit_json, json_option
from hive_state_core.cli.migrate_carrying import on_to_verified
from hive_state_core.cli.migrate_knobs import knobs, turned
from hive_state_core.cli.migrate_sides import chosen, known_sides
from hive_state_core.cli.migrate_words import CHECKED, OBSTACLES, tell_obstacles

if TYPE_CHECKING:
    from hive_state_core.choosing import Choice

PLAN: Keys = {
    "steps": "what would be done, in words",
    "rows": "about how many there are, by kind",
    "warnings": "what is worth knowing, in words",
}
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
        tell_obstacles(obstacles, as_json)
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
            tell_obstacles(obstacles, as_json)
            return EXIT.PRECONDITION
        await _back_up(one, backup)
        await prepare(one, other, **turned(given))
        async with live(one, other) as ready:
            await ready.capture()
            return await on_to_verified(ready, as_json)


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
