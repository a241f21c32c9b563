"""The two stores that a `migrate` command is about: named, or told from the configuration and the stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from hive_state_core.cli.live import existing
from hive_state_core.cli.stores import StoreArgument

if TYPE_CHECKING:
    from hive_state_core.choosing import Choice
    from hive_state_core.migration.live import Live

Command = Callable[..., Any]


def known_sides(command: Command) -> Command:
    """Adds `--from` and `--to`, as `source` and `target`; both may be left out: see `chosen`."""
    to = "Where it moves to, likewise; left out: what the store --from says of it."
    command = click.option("--to", "target", metavar="STORE", help=to)(command)
    source = "Where the hive moves from: a URL, a configured name or a preset; left out: the store in use."
    return click.option("--from", "source", metavar="STORE", help=source)(command)


@asynccontextmanager
async def chosen(source: str | None, target: str | None) -> AsyncIterator[tuple[Choice, Choice]]:
    """Both. A dual-write store says itself which they are, a store in a migration says which the other is.
    Raises UsageError if that cannot be told, or one side is two stores. Raises SchemaMismatch if there is no
    store at the path of `source`: who has mistyped it would move an empty hive."""
    async with StoreArgument(source).chosen() as one:
        pair = named_by(one)
        await _require_there(one if pair is None else pair[0])
        if pair is not None and target is None:
            yield pair
            return
        other = await _peer_of(one) if target is None else target
        async with StoreArgument(other).chosen() as two:
            _require_one_each(one, two)
            yield one, two


async def _require_there(choice: Choice) -> None:
    from hive_state_core.store import open_store

    await existing(open_store(choice, janitor=False, follow=False))


def _require_one_each(*choices: Choice) -> None:
    from hive_state_core.migration.opening import name_of

    for choice in choices:
        if pair := named_by(choice):
            one, other = map(name_of, pair)
            raise click.UsageError(
                f"{name_of(choice)} is two stores, {one} and {other}: name these, or it alone as --from"
            )


@asynccontextmanager
async def chosen_live(source: str | None, target: str | None) -> AsyncIterator[tuple[Choice, Choice, Live]]:
    """Both, and opened; in the order in which the migration that is under way has them."""
    from hive_state_core.migration.opening import live

    async with chosen(source, target) as (one, other):
        if await _is_turned(one, other):
            one, other = other, one
        async with live(one, other) as ready:
            yield one, other, ready


async def _is_turned(one: Choice, other: Choice) -> bool:
    """Whether the migration goes from the other one to this one."""
    from hive_state_core.migration.opening import live
    from hive_state_core.migration.phases import read_job

    async with live(one, other) as ready:
        job = await read_job(ready.target)
        return job is not None and job.source == (await ready.target.control()).store_id


def named_by(choice: Choice) -> tuple[Choice, Choice] | None:
    """The two stores of a store that is made of a primary and a secondary."""
    from hive_state_core.choosing import choose

    names = [choice.url.options.get(option) for option in ("primary", "secondary")]
    if choice.backend.compose is None or None in names:
        return None
    one, other = (choose(name, choice.config) for name in names)
    return one, other


async def _peer_of(choice: Choice) -> str:
    """What the store says of the other one."""
    from hive_state_core.migration.opening import name_of
    from hive_state_core.store import open_store

    async with open_store(choice, janitor=False, follow=False) as hive:
        peer = (await hive.replication().control()).peer
    if peer is None:
        raise click.UsageError(
            f"{name_of(choice)} is in no migration, so --to is needed: the store that the hive moves to"
        )
    return peer
