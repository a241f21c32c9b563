"""The commands of the suite. Each lives in a module of its own, imported when it is used."""

from __future__ import annotations

import click

from hive_state_conformance.bench_command import bench
from hive_state_conformance.conform_command import conform
from hive_state_conformance.demo_command import demo

COMMANDS: tuple[click.Command, ...] = (demo, bench, conform)


def register(cli: click.Group) -> None:
    """Add them to the command line."""
    for command in COMMANDS:
        cli.add_command(command)
