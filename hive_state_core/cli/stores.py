"""The argument STORE: a URL, a configured name or a preset. One helper for every command that takes one.

    @click.command()
    @store_argument
    @json_option
    @async_command
    async def count(store: StoreArgument, as_json: bool) -> None:
        async with store.open() as hive: ...

Left out, STORE is what the environment and the configuration say. With `--embedded` it is a preset, whose
servers run for as long as the `async with` block does, also if that ends by an error or by Ctrl-C.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from hive_state_core.cli import presets

if TYPE_CHECKING:
    from hive_state_core.store import Store


class StoreArgument:
    """What the user said of the store, `store` None for nothing. Looked at when the command runs."""

    def __init__(self, store: str | None, embedded: bool = False) -> None:
        self.store = store
        self.embedded = embedded

    @asynccontextmanager
    async def open(self, namespace: str | None = None) -> AsyncIterator[Store]:
        """The Store, opened. Raises ConfigError (exit code 2) if what was said cannot be used."""
        from hive_state_core.store import open_store

        async with self.chosen() as chosen, open_store(chosen, namespace=namespace) as hive:
            yield hive

    @asynccontextmanager
    async def chosen(self) -> AsyncIterator[str | None]:
        """What `open_store` takes, for as long as the servers run that it needs."""
        if self.embedded:
            async with _preset(self.store)() as url:
                yield url
        elif self.store is None or "://" in self.store:
            yield self.store
        else:
            yield _standing(self.store)


def store_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument STORE and the option `--embedded`; the command gets both as `store`."""

    @functools.wraps(command)
    def run(*args: Any, store: str | None, embedded: bool, **others: Any) -> Any:
        return command(*args, store=StoreArgument(store, embedded), **others)

    option = click.option(
        "--embedded",
        is_flag=True,
        help=f"STORE is a preset ({', '.join(presets.EMBEDDED)}): start it, and remove it at the end.",
    )
    return click.argument("store", required=False)(option(run))


def _preset(store: str | None) -> presets.Preset:
    known = ", ".join(presets.EMBEDDED)
    if store is None:
        raise click.UsageError(f"--embedded needs a preset: one of {known}")
    if store not in presets.EMBEDDED:
        raise click.UsageError(f"--embedded starts a preset, one of {known}; this store is not one")
    return presets.EMBEDDED[store]


def _standing(store: str) -> str:
    if store in presets.STANDING:
        return presets.STANDING[store]
    if store in presets.EMBEDDED:
        raise click.UsageError(f"the preset {store} needs a server: add --embedded, or give the URL of one")
    known = ", ".join(presets.EMBEDDED)
    raise click.UsageError(f"there is no store {store!r}; give a URL, or a preset: {known}")
