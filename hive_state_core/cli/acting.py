"""What the commands share that list what is in a store, or change it: limits, values, and asking first."""

from __future__ import annotations

import base64
import functools
import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import click

from hive_state_core.cli.frame import printable

T = TypeVar("T")
Option = Callable[[Callable[..., Any]], Callable[..., Any]]

MORE = "whether there are more than --limit"
"""What the key `more` says."""

limit_option: Option = click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1_000_000), help="Show so many at most."
)
values_option: Option = click.option(
    "--values", is_flag=True, help="Show what users stored in it too; it may be secret."
)


async def first(found: AsyncIterator[T], limit: int) -> tuple[list[T], bool]:
    """(The first of them, whether there are more)."""
    items: list[T] = []
    try:
        async for item in found:
            if len(items) == limit:
                return items, True
            items.append(item)
    finally:
        close = getattr(found, "aclose", None)
        if close is not None:
            await close()
    return items, False


def tell_more(more: bool) -> None:
    if more:
        click.echo("There are more; --limit shows them.", err=True)


def value_object(value: Any) -> Any:
    """For JSON: bytes are an object of their base64, everything else is itself."""
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def value_text(value: Any) -> str:
    """On one line."""
    return json.dumps(value_object(value), ensure_ascii=False)


def dangerous(question: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds `--yes`; without it the question is asked, with the command's arguments filled in ("any" for one
    that was left out).

    It is put before `async_command`: Ctrl-C would not end a question that is asked within the event loop.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def run(*args: Any, yes: bool, **others: Any) -> Any:
            if not yes:
                _ask(question.format(**{k: "any" if v is None else v for k, v in others.items()}))
            return command(*args, **others)

        return click.option("--yes", is_flag=True, help="Do not ask.")(run)

    return decorate


def somebody_there() -> bool:
    """Whether a question can be answered."""
    return sys.stdin.isatty()


def _ask(question: str) -> None:
    """Raises click.Abort for a no, and UsageError if there is nobody to ask."""
    if not somebody_there():
        raise click.UsageError("this cannot be undone, and there is nobody to ask: add --yes")
    click.confirm(printable(question), abort=True, err=True)
