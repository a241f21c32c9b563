"""What people read: tables and facts, aligned by what a terminal shows, with nothing in them that steers it.

On a terminal they are drawn by rich, if the extra `cli` is installed; otherwise, and whenever the output goes
elsewhere, they are plain lines. A cell is a text, a number or None; texts are shown as `printable` says.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from unicodedata import combining, east_asian_width

import click

from hive_state_core.cli.frame import printable

if TYPE_CHECKING:
    from rich.console import Console

Cell = str | int | float | bool | datetime | None

NARROWEST = 10
"""Columns of a terminal that are left to what is folded: a date has room."""

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "dead": "red", "paused": "yellow"}


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], *, empty: str) -> None:
    """The rows under their headers; numbers to the right, the longest texts last.
    `empty` is said instead of a table of none."""
    if not rows:
        click.echo(empty)
        return
    texts = [[text_of(cell) for cell in row] for row in rows]
    right = [
        all(isinstance(row[column], int | float) or row[column] is None for row in rows)
        for column in range(len(headers))
    ]
    console = _rich()
    if console is None:
        columns([headers, *texts], right=right)
    else:
        _drawn(console, headers, texts, right)


def facts(pairs: Sequence[tuple[str, Cell]]) -> None:
    """Names and values, one pair a line, without a header."""
    # A number may be a version: to be copied.
    columns((name, str(value) if type(value) is int else text_of(value)) for name, value in pairs)


def columns(lines: Iterable[Sequence[str]], *, indent: str = "", right: Sequence[bool] = ()) -> None:
    """Words in columns, each as wide as its longest; `right`: which of them are moved to the right."""
    lines = list(lines)
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        words = map(_padded, line, widths, right or [False] * len(widths))
        click.echo(indent + "  ".join(words).rstrip())


def heading(text: str) -> None:
    """Above what follows, after an empty line."""
    click.echo(f"\n{text}")


def text_of(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:,.2f}"
        case datetime():
            return f"{cell.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return printable(cell)


def setting_text(value: object) -> str:
    """A setting in one word, as TOML has it; - for None."""
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    return str(value)


def clear() -> None:
    """Begin at the top of the terminal; does nothing elsewhere."""
    if sys.stdout.isatty():
        click.echo("\x1b[H\x1b[J", nl=False)


def _rich() -> Console | None:
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console()


def _drawn(
    console: Console, headers: Sequence[str], texts: Sequence[Sequence[str]], right: Sequence[bool]
) -> None:
    """Only what stands last in a line is folded: an id or a URL is there to be copied. Where even that has no
    room, the terminal breaks the lines."""
    from rich.table import Table
    from rich.text import Text

    *firm, last = [max(map(_width, column)) for column in zip(headers, *texts, strict=True)]
    console.width = max(console.width, sum(firm) + 2 * len(firm) + min(last, NARROWEST))
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for number, header in enumerate(headers):
        justify: Literal["left", "right"] = "right" if right[number] else "left"
        drawn.add_column(header, justify=justify, overflow="fold", no_wrap=number < len(firm))
    for row in texts:
        drawn.add_row(*(Text(text, style=_STYLES.get(text, "")) for text in row))
    console.print(drawn)


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _width(text: str) -> int:
    """Columns of a terminal: letters of East Asia take two, combining marks none."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
