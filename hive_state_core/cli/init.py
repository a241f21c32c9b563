"""`hive-state init`: create or upgrade the schema of a store."""

from __future__ import annotations

import click

from hive_state_core.cli.frame import async_command, emit_json, json_option
from hive_state_core.cli.stores import StoreArgument, store_argument


@click.command()
@store_argument
@json_option(
    {
        "url": "of the store, without its password",
        "schema": "the version that it has now",
        "steps": "what was done, in words",
    }
)
@async_command
async def init(store: StoreArgument, as_json: bool) -> None:
    """Create or upgrade the schema of STORE.

    Running it again changes nothing.
    """
    from hive_state_core.store import open_store

    async with store.chosen() as chosen:
        hive = open_store(chosen)
        info = await hive.upgrade_schema()
    if as_json:
        emit_json({"url": str(hive.url), "schema": info.found, "steps": list(info.steps)})
        return
    for step in info.steps:
        click.echo(step)
    click.echo(f"{hive.url} has schema version {info.found}")
