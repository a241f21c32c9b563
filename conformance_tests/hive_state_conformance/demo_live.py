"""How far a demo is, on stderr: a small picture that is drawn over on a terminal, else one line a second."""

from __future__ import annotations

import sys
from shutil import get_terminal_size
from time import perf_counter
from typing import TYPE_CHECKING

import click

from hive_state_conformance.latency import latency_of

if TYPE_CHECKING:
    from hive_state_conformance.demo_hive import Hive

RECENT = 2000
"""Calls of a kind that the picture tells latencies of."""

_HOME, _TO_THE_END = "\x1b[F", "\x1b[K"


class Live:
    """`every` is how often it wants to be shown the hive, in seconds."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self.every = 0.25 if self._terminal else 1.0
        self._last = (perf_counter(), 0)
        self._drawn = 0

    def show(self, hive: Hive, seconds: float) -> None:
        then, before = self._last
        self._last = now, operations = perf_counter(), hive.operations
        line = _line(hive, seconds, (operations - before) / (now - then))
        if self._terminal:
            self._draw([line, *_latencies(hive)])
        else:
            click.echo(line, err=True)

    def _draw(self, lines: list[str]) -> None:
        """Over what was drawn before; a line that does not fit would be two."""
        width = get_terminal_size().columns - 1
        click.echo(_HOME * self._drawn, nl=False, err=True)
        click.echo("\n".join(f"{line[:width]}{_TO_THE_END}" for line in lines), err=True)
        self._drawn = len(lines)


def _line(hive: Hive, seconds: float, ops_per_s: float) -> str:
    enqueued, completed = len(hive.enqueued), len(hive.finished)
    return (
        f"{seconds:6.1f} s {ops_per_s:8,.0f} ops/s {enqueued:8,} enqueued {completed:8,} completed"
        f" {enqueued - completed:5,} waiting {len(hive.errors):2} errors"
    )


def _latencies(hive: Hive) -> list[str]:
    """Of the last calls of each kind, in milliseconds."""
    lines = ["          latency, ms       p50       p95       p99       max"]
    for kind, seconds in hive.latencies.items():
        found = latency_of(seconds[-RECENT:])
        figures = (found.p50, found.p95, found.p99, found.max)
        lines.append(f"          {kind:<10}" + "".join(f"{figure:10.2f}" for figure in figures))
    return lines
