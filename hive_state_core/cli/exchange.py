"""`hive-state export` and `hive-state import`: a store as JSON Lines."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click

from hive_state_core.cli.frame import async_command, emit_json, json_option
from hive_state_core.cli.live import existing
from hive_state_core.cli.progress import Progress
from hive_state_core.cli.stores import StoreArgument, store_argument


@click.command("export")
@store_argument
@async_command
async def export_(store: StoreArgument) -> None:
    """Write all that is in STORE to stdout.

    One JSON object a line, in a stable order. Two stores that hold the same give the same bytes. A store that
    the hive has left, or a standby, gives what it has itself. One in use is not caught at one instant.
    """
    from hive_state_core.migration.lines import export_lines
    from hive_state_core.store import open_store

    out = sys.stdout.buffer
    async with store.or_missing().chosen() as chosen:
        await existing(open_store(chosen, janitor=False, follow=False))
        async with open_store(chosen, janitor=False, follow=False) as hive:
            async for line in export_lines(hive.replication()):
                out.write(line)
    out.flush()


@click.command("import")
@store_argument
@click.option(
    "--file", "source", type=click.File("rb"), default="-", help="What export has written.  [default: stdin]"
)
@json_option({"imported": "how many rows"})
@async_command
async def import_(store: StoreArgument, source: BinaryIO, as_json: bool) -> None:
    """Read an export into STORE, which has to be empty.

    Its schema is created. Until the last line was read the store takes no writes: what was cut off can be
    imported again.
    """
    from hive_state_core.migration.importing import import_lines
    from hive_state_core.migration.opening import name_of
    from hive_state_core.store import open_store

    progress = Progress(silent=as_json)
    async with store.or_missing().chosen() as chosen:
        await open_store(chosen).upgrade_schema()
        async with open_store(chosen, janitor=False) as hive:
            count = await import_lines(
                hive.replication(),
                source,
                name_of(chosen),
                batch=2000,
                tell=lambda count: progress.tell("import", "all", count),
            )
    progress.close()
    if as_json:
        emit_json({"imported": count})
    else:
        click.echo(f"{count:,} rows imported")
