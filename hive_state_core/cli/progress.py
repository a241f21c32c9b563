"""How far a long command is: a line on stderr now and then, rewritten in place on a terminal."""

from __future__ import annotations

import sys
from time import monotonic

import click

EVERY = 1.0
"""Seconds between two lines."""


class Progress:
    """`silent`: say nothing, as with --json. `expected`: rows in all, 0 if it is not known."""

    def __init__(self, silent: bool) -> None:
        self.expected = 0
        self._silent = silent
        self._terminal = sys.stderr.isatty()
        self._phase = ""
        self._counts: dict[str, int] = {}
        self._begun = self._next = 0.0
        self._open = False

    @property
    def begun(self) -> bool:
        """Whether it was told anything yet."""
        return bool(self._phase)

    def tell(self, phase: str, kind: str, count: int) -> None:
        """`count` of this kind are done in this phase."""
        now = monotonic()
        if phase != self._phase:
            self._phase, self._counts, self._begun = phase, {}, now
            self._next = now + EVERY
        self._counts[kind] = count
        if self._silent or now < self._next:
            return
        self._next = now + EVERY
        self._say(f"{phase}: {self._line(now)}")

    def close(self) -> None:
        """Leave the last line standing."""
        if self._open:
            click.echo(err=True)
            self._open = False

    def _line(self, now: float) -> str:
        done, seconds = sum(self._counts.values()), now - self._begun
        rate = done / seconds if seconds else 0.0
        line = f"{done:,} rows, {rate:,.0f}/s"
        if not self.expected or not rate:
            return line
        left = max(self.expected - done, 0) / rate
        return f"{line}, {min(done / self.expected, 1):.0%} of about {self.expected:,}, {left:,.0f} s to go"

    def _say(self, text: str) -> None:
        if self._terminal:
            click.echo(f"\r{text[:78]:<78}", err=True, nl=False)
            self._open = True
        else:
            click.echo(text, err=True)
