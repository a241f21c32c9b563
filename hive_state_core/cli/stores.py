"""The argument STORE: a URL, a configured name or a preset. One helper for every command that takes one.

    @click.command()
    @store_argument
    @json_option({"count": "how many there are"})
    @async_command
    async def count(store: StoreArgument, as_json: bool) -> None:
        async with store.open() as hive: ...

Left out, STORE is what the environment and the configuration say. With `--embedded` it is a preset, whose
servers run for as long as the `async with` block does, also if that ends by an error or by Ctrl-C.
`store_option` is for commands that have other arguments.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from hive_state_core.cli.presets import PRESETS
from hive_state_core.errors import ConfigError

if TYPE_CHECKING:
    from hive_state_core.choosing import Choice
    from hive_state_core.config import Config
    from hive_state_core.store import Store

KNOWN: str = ", ".join(PRESETS)


class StoreArgument:
    """What the user said of the store, `store` None for nothing. It is looked at when the command runs.

    Raises ConfigError or UsageError (both exit with 2) for what cannot be used.
    """

    def __init__(self, store: str | None, embedded: bool = False) -> None:
        self.store = store
        self.embedded = embedded

    @asynccontextmanager
    async def open(self, namespace: str | None = None) -> AsyncIterator[Store]:
        """The Store, opened; of the configured namespace if none is given."""
        from hive_state_core.store import open_store

        async with self.chosen() as chosen, open_store(chosen, namespace=namespace) as hive:
            yield hive

    @asynccontextmanager
    async def chosen(self) -> AsyncIterator[Choice]:
        """What `open_store` takes, for as long as the servers run that it needs."""
        from hive_state_core.config_file import read_config

        config = read_config()
        if self.embedded:
            async with PRESETS[self._preset(config)].start(config) as choice:
                yield choice
        else:
            yield self._standing(config)

    def or_temporary(self) -> StoreArgument:
        """The same; a new SQLite file if nothing was said, neither here nor by the surroundings."""
        return self if self._said() else StoreArgument("sqlite", embedded=True)

    def or_missing(self) -> StoreArgument:
        """The same. Raises UsageError if nothing was said, neither here nor by the surroundings."""
        if self._said():
            return self
        raise click.UsageError(
            f"Missing argument 'STORE': a URL such as those of `hive-state backends`, a configured name,"
            f" or a preset: {KNOWN}"
        )

    def words(self, choice: Choice) -> str:
        """What it is, for people."""
        if self.embedded and self.store in PRESETS:
            return f"{choice.url}, {PRESETS[self.store].words}"
        return str(choice.url) if choice.name is None else f"{choice.name} ({choice.url})"

    def _said(self) -> bool:
        from hive_state_core.choosing import DEFAULT, choose

        return self.store is not None or self.embedded or choose().source != DEFAULT

    def _preset(self, config: Config) -> str:
        if self.store is None:
            raise click.UsageError(f"--embedded needs a preset: one of {KNOWN}")
        if self.store in config.stores:
            where = config.where("stores", self.store)
            raise click.UsageError(
                f"--embedded starts a preset, but {self.store!r} is the store of that name in {where},"
                " which comes first; rename that one"
            )
        if self.store not in PRESETS:
            raise click.UsageError(f"--embedded starts a preset, one of {KNOWN}; this store is not one")
        return self.store

    def _standing(self, config: Config) -> Choice:
        from hive_state_core.choosing import choose

        preset = PRESETS.get(self.store or "")
        if preset is None:
            return self._choose(config)
        if self.store in config.stores:
            where = config.where("stores", self.store or "")
            click.echo(f"hive-state: {self.store} is the store of that name in {where}, no preset", err=True)
            return self._choose(config)
        if preset.url is None:
            raise click.UsageError(f"the preset {self.store} needs a server: add --embedded, or give a URL")
        return choose(preset.url, config)

    def _choose(self, config: Config) -> Choice:
        from hive_state_core.choosing import choose

        try:
            return choose(self.store, config)
        except ConfigError as error:
            if self.store is None or "://" in self.store or self.store in config.stores:
                raise
            raise ConfigError(f"{error}; presets are {KNOWN}") from error


def store_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds STORE as an argument, `--store` as another way to give it, and `--embedded`; all as `store`."""
    named = click.option("--store", "named", metavar="STORE", help="The same as the argument.")
    return click.argument("store", required=False)(named(embedded_option(_folded(command))))


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options `--store` (`--url` is another name of it) and `--embedded`, both as `store`."""
    words = f"A URL, a configured name, or a preset: {KNOWN}."
    option = click.option("--store", "--url", metavar="STORE", help=words)
    return option(embedded_option(_folded(command)))


def embedded_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--embedded` alone, for a command that makes its own StoreArgument."""
    words = "STORE is a preset: start what it needs, and remove it at the end."
    return click.option("--embedded", is_flag=True, help=words)(command)


def _folded(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def run(*args: Any, store: str | None, embedded: bool, named: str | None = None, **others: Any) -> Any:
        if store is not None and named is not None:
            raise click.UsageError("STORE is given twice")
        chosen = named if store is None else store
        return command(*args, store=StoreArgument(chosen, embedded), **others)

    return run
