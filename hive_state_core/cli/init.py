"""`hive-state init`: create or upgrade the schema of a store."""

from __future__ import annotations

import click

from hive_state_core.cli.frame import async_command, emit_json, json_option


@click.command()
@click.argument("store")
@json_option
@async_command
async def init(store: str, as_json: bool) -> None:
    """Create or upgrade the schema of STORE (a URL). Running it again changes nothing."""
    from hive_state_core.store import open_store

    hive = open_store(store)
    info = await hive.upgrade_schema()
    if as_json:
        emit_json({"url": str(hive.url), "schema": info.found, "steps": list(info.steps)})
        return
    for step in info.steps:
        click.echo(step)
    click.echo(f"{hive.url} has schema version {info.found}")
