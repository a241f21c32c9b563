"""The conformance suite: what every backend must do, as checks that anyone can run.

From the command line: `hive-state conform URL`. From pytest: see `hive_state_conformance.pytest_plugin`.
From Python:

    report = await conform(UrlHarness("etcd://localhost/test"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hive_state_core.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

    from hive_state_conformance.harness import Harness, UrlHarness
    from hive_state_conformance.report import Level, Report, Result, Status
    from hive_state_conformance.runner import conform

__all__ = ["Harness", "Level", "Report", "Result", "Status", "UrlHarness", "conform"]

_HOMES = {"Harness": "harness", "UrlHarness": "harness", "conform": "runner"}


@hookimpl
def hive_state_register_commands(cli: click.Group) -> None:
    """The commands of the suite."""
    from hive_state_conformance import commands

    commands.register(cli)


def __getattr__(name: str) -> Any:
    """The names above, imported at first use: every process that opens a store imports this module."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'report')}"), name)
