"""What the commands share that look at a store in use: `[STORE] ID`, the namespace, a store opened as it is.

@click.command()
@live_store("ID")
@json_option({"id": "..."})
@async_command
async def show(store: LiveStore, id: str, as_json: bool) -> None:
    async with store.open() as hive: ...
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from hive_state_core.cli.stores import StoreArgument

if TYPE_CHECKING:
    from hive_state_core.store import Store


class LiveStore:
    """The store that the user named, and the namespace in it; None is what the configuration says.

    `source` is what named the store, in words, once it is known.
    """

    def __init__(self, argument: StoreArgument, namespace: str | None) -> None:
        self.argument = argument
        self.namespace = namespace
        self.source: str = ""

    @asynccontextmanager
    async def unopened(self) -> AsyncIterator[Store]:
        """A Store to be opened by the caller. Raises ConfigError if what was said cannot be used."""
        from hive_state_core.store import open_store

        async with self.argument.chosen() as chosen:
            self.source = _SOURCES.get(chosen.source, f"by {chosen.source}")
            yield open_store(chosen, namespace=self.namespace, janitor=False)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        """The Store, opened. One that is not there is not created: raises SchemaMismatch."""
        async with self.unopened() as hive:
            await existing(hive)
            async with hive:
                yield hive


_SOURCES = {"argument": "by the argument", "default": "by default"}


async def existing(hive: Store) -> None:
    """Raises SchemaMismatch if opening the store would create it: who looks at it has mistyped."""
    from hive_state_core.errors import SchemaMismatch
    from hive_state_core.features import Sharing

    if hive.features.sharing is not Sharing.HOST:
        return  # of a server `open` says it; within one process there is nothing to mistype
    info = await hive.inspect_schema()
    if info.found is None:
        raise SchemaMismatch(
            f"there is no store at {hive.url}; `hive-state init` makes one", found=None, expected=info.wanted
        )


def namespace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--namespace`; the command's `store`, a StoreArgument, becomes a LiveStore."""

    @functools.wraps(command)
    def run(*args: Any, store: StoreArgument, namespace: str | None, **others: Any) -> Any:
        return command(*args, store=LiveStore(store, namespace), **others)

    return click.option("--namespace", metavar="NAME", help="The part of the store to look at.")(run)


def live_store(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the arguments `[STORE] NAMES...`, `--store` as another way to give it, and `--namespace`.

    The names are given to the command in lower case. Whether STORE is there is seen by how many words there
    are.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        named = namespace_option(command)

        @functools.wraps(named)
        def run(*args: Any, words: tuple[str, ...], store: str | None, **others: Any) -> Any:
            found, given = _split(words, store, names)
            return named(*args, store=StoreArgument(found), **given, **others)

        metavar = " ".join(["[STORE]", *names])
        option = click.option("--store", metavar="STORE", help="The same as the argument.")
        return click.argument("words", nargs=-1, metavar=metavar)(option(run))

    return decorate


def _split(
    words: tuple[str, ...], store: str | None, names: tuple[str, ...]
) -> tuple[str | None, dict[str, str]]:
    """(STORE, None if it was not given, and the other words by name)."""
    before = len(words) - len(names)
    if not 0 <= before <= (store is None):
        expected = " ".join([*(["[STORE]"] if store is None else []), *names])
        raise click.UsageError(f"expected {expected or 'no more words'}, not {len(words)} words")
    given = {name.lower(): word for name, word in zip(names, words[before:], strict=True)}
    return (words[0] if before else store), given
