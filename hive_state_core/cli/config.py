"""`hive-state config`: what is configured, whether it can be used, and a file to start with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from hive_state_core.cli.frame import EXIT, async_command, emit_json, json_option
from hive_state_core.cli.show import columns, setting_text
from hive_state_core.cli.stores import StoreArgument
from hive_state_core.errors import ConfigError

if TYPE_CHECKING:
    from hive_state_core.config import Config

STARTER = """\
# The store that is opened when nothing else is said. HIVE_STATE_USE=prod says another one.
use = "local"

# namespace = "default"                # hives of different namespaces know nothing of one another

[stores.local]
url = "sqlite:///hive-state.db"        # relative to this file

# [stores.prod]
# backend = "postgres"                 # `hive-state backends -v` lists the options of each
# host = "localhost"
# database = "hive"
# username = "hive"
# password = "env:PGPASSWORD"          # or "file:/run/secrets/pg"

# [retention]                          # of what has ended; "forever" is possible
# completed = "7d"
# cancelled = "7d"
# dead = "30d"
"""


@click.group()
def config() -> None:
    """Show, check or begin the configuration."""


@config.command()
@click.argument("store", required=False)
@click.option("--sources", is_flag=True, help="Say where each value comes from.")
@json_option(
    {"settings": {"key": "its name", "value": "in force; durations are seconds", "source": "of the value"}}
)
@async_command
async def show(store: str | None, sources: bool, as_json: bool) -> None:
    """Show each value that is in force.

    It is for STORE, or for the store that is used without it. Secrets are shown as ***. JSON always has the
    sources.
    """
    from hive_state_core.effective import settings_of

    async with StoreArgument(store).chosen() as choice:
        settings = settings_of(choice)
    if as_json:
        emit_json({"settings": settings})
        return
    columns([each.key, setting_text(each.value), *([each.source] if sources else [])] for each in settings)


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a store can be made of what is configured. `name` None: the one that is used."""

    name: str | None
    store: str | None
    error: str | None


@config.command()
@json_option(
    {
        "file": "its path, or null",
        "ok": "whether every store can be used",
        "stores": {
            "name": "null: the one that is used",
            "store": "what it is",
            "error": "a sentence, or null",
        },
        "warnings": "sentences",
    }
)
def check(as_json: bool) -> int:
    """Check the whole configuration.

    That is every store, its options and secrets. Connects to nothing. Exits with 2 if something is wrong.
    """
    from hive_state_core.config_file import read_config

    read = read_config()
    checked = [_checked(name, read) for name in (None, *read.stores)]
    warnings = _in_plain_words(read)
    ok = all(each.error is None for each in checked)
    if as_json:
        path = read.path and str(read.path)
        emit_json({"file": path, "ok": ok, "stores": checked, "warnings": warnings})
    else:
        click.echo(read.path or "There is no configuration file.")
        columns((each.name or "in use", each.error or f"ok, {each.store}") for each in checked)
        for warning in warnings:
            click.echo(f"warning: {warning}")
    return EXIT.OK if ok else EXIT.USAGE


def _checked(name: str | None, read: Config) -> Checked:
    from hive_state_core.choosing import choose

    try:
        choice = choose(name, read)
        choice.driver(read.namespace or "default")
    except ConfigError as error:
        return Checked(name=name, store=None, error=str(error))
    return Checked(name=name, store=str(choice.url if name else choice.name or choice.url), error=None)


def _in_plain_words(read: Config) -> list[str]:
    """Warnings about secrets that stand in the file."""
    from hive_state_core.store_tables import plain_secrets

    return [
        f"{read.label('stores', name, key)} is a secret in plain words; better env:NAME or file:PATH"
        for name in read.stores
        for key in plain_secrets(read, name)
    ]


@config.command("init")
@json_option({"file": "path of the file that was written"})
def begin(as_json: bool) -> None:
    """Write a hive-state.toml to start with into this directory. Never overwrites one."""
    from hive_state_core.config import FILE

    path = Path(FILE).absolute()
    try:
        with path.open("x") as file:
            file.write(STARTER)
    except FileExistsError:
        raise ConfigError(f"{FILE} is there already; it was left as it is") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    if as_json:
        emit_json({"file": str(path)})
    else:
        click.echo(f"Wrote {path}")
