"""Rows of words in aligned columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click


def echo_table(rows: Iterable[Sequence[str]], indent: str = "") -> None:
    """Each column as wide as its longest cell; the last one is left as long as it is."""
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)]
        click.echo(indent + "  ".join(cells).rstrip())


def cell(value: object) -> str:
    """A setting in one word, as TOML has it; - for None."""
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    return str(value)
