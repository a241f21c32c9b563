"""How far `demo --migrate` is, on stderr: a picture that is drawn over on a terminal, else lines."""

from __future__ import annotations

import os
import sys
from shutil import get_terminal_size
from time import perf_counter
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hive_state_conformance.demo_journey import Passed
    from hive_state_conformance.demo_process import Figures

_HOME, _TO_THE_END = "\x1b[F", "\x1b[K"
HEAD = f"  {'step':<24}{'lives in':<14}{'seconds':>9}{'calls/s':>10}{'longest call':>15}"


def row(passed: Passed) -> str:
    """A step that was done, under `HEAD`."""
    return _row(passed.name, passed.lived_in, passed.seconds, passed.ops_per_s, passed.longest_ms)


def _row(name: str, lived_in: str, seconds: float, ops_per_s: float, longest_ms: float) -> str:
    return f"  {name:<24}{lived_in:<14}{seconds:9.1f}{ops_per_s:10,.0f}{longest_ms:12,.0f} ms"


class View:
    """`every` is how often it wants to be shown how far it is, in seconds. `progress`: of the step, in words.

    silent  nothing is shown
    """

    def __init__(self, silent: bool = False) -> None:
        self.progress = ""
        self._silent = silent
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._coloured = self._terminal and not os.environ.get("NO_COLOR")
        self.every = 0.2 if self._terminal else 5.0
        self._name = self._lives_in = ""
        self._began = perf_counter()
        self._last = (self._began, 0)
        self._drawn = False

    def say(self, line: str) -> None:
        """Something beside the steps."""
        if not self._silent:
            click.echo(line, err=True)

    def begin(self, name: str, lives_in: str) -> None:
        self._name, self._lives_in, self.progress = name, lives_in, ""
        self._began = perf_counter()

    def show(self, figures: Figures) -> None:
        """The step that is under way."""
        if self._silent:
            return
        (then, before), now = self._last, perf_counter()
        self._last = now, figures.operations
        line = _row(
            self._name,
            self._lives_in,
            now - self._began,
            (figures.operations - before) / (now - then),
            figures.longest * 1000,
        )
        told = f"{line}  {figures.errors} failed  {self.progress}"
        self._put(told, "yellow", lasts=not self._terminal)

    def end(self, passed: Passed) -> None:
        """The step was done."""
        if not self._silent:
            self._put(f"{row(passed)}  done", "green", lasts=True)

    def _put(self, line: str, colour: str, *, lasts: bool) -> None:
        """A line on a terminal is drawn over by the next one, unless it lasts."""
        if not self._terminal:
            click.echo(line, err=True)
            return
        fitting = line[: get_terminal_size().columns - 1]
        shown = click.style(fitting, fg=colour) if self._coloured else fitting
        click.echo(f"{_HOME if self._drawn else ''}{shown}{_TO_THE_END}", err=True)
        self._drawn = not lasts
