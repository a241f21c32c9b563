"""The knobs of a live migration, which may be turned at any time."""

from __future__ import annotations

from typing import Any

import click

_CHUNK = "Rows of a transaction of the copy (2000)."
_THROTTLE = "Rest after each of them, at least; twice as long as it took, up to 1 s (0)."
_BUDGET = "Writes may wait for so long for a switch before it is given up (2)."
_TRIGGERS = "What rollback triggers do: act on their own, say what they would have done, nothing (act)."


def knobs(command: Any) -> Any:
    """Adds `--chunk`, `--throttle`, `--budget` and `--triggers`; None for what was left out."""
    command = click.option("--triggers", type=click.Choice(["act", "watch", "off"]), help=_TRIGGERS)(command)
    command = click.option("--budget", type=click.FloatRange(0.1, 30), metavar="SECONDS", help=_BUDGET)(
        command
    )
    command = click.option("--throttle", type=click.FloatRange(0, 60), metavar="SECONDS", help=_THROTTLE)(
        command
    )
    return click.option("--chunk", type=click.IntRange(1, 100_000), metavar="ROWS", help=_CHUNK)(command)


def turned(knobs: dict[str, Any]) -> dict[str, Any]:
    """Those that were not left out."""
    return {name: value for name, value in knobs.items() if value is not None}
