"""The original hive's SQLite file, as a source: the scheme `legacy-sqlite`, the command `import-legacy`.

Registered by the entry point `hive_state`; nothing heavy is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hive_state_core.hookspecs import hookimpl
from hive_state_core.plugins import Backend
from hive_state_legacy.options import OPTIONS, parse_options

if TYPE_CHECKING:
    import click

    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL


def _connect(url: StoreURL, namespace: str) -> Driver:
    from hive_state_legacy.driver import LegacyDriver

    return LegacyDriver(parse_options(url), namespace)


@hookimpl
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """The scheme `legacy-sqlite`."""
    register(
        Backend(
            name="legacy",
            schemes=("legacy-sqlite",),
            summary="The SQLite file of the original hive: imported from, or moved from while it works.",
            connect=_connect,
            options=OPTIONS,
        )
    )


@hookimpl
def hive_state_register_commands(cli: click.Group) -> None:
    """`hive-state import-legacy`, `hive-state release-legacy`."""
    from hive_state_legacy.command import import_legacy
    from hive_state_legacy.releasing import release_legacy

    cli.add_command(import_legacy)
    cli.add_command(release_legacy)
