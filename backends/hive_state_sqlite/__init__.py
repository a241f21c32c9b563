"""The SQLite backend: the default store, one file, many processes of one machine.

Registered by the entry point `hive_state`; nothing heavy is imported before a store is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hive_state_core.hookspecs import hookimpl
from hive_state_core.plugins import Backend
from hive_state_sqlite.options import OPTIONS

if TYPE_CHECKING:
    from hive_state_core.baselines import Baseline
    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL


def _connect(url: StoreURL, namespace: str) -> Driver:
    from hive_state_sqlite.driver import SqliteDriver
    from hive_state_sqlite.options import parse_options

    return SqliteDriver(parse_options(url), namespace)


def _baseline(url: StoreURL) -> Baseline:
    from hive_state_sqlite.baseline import SqliteBaseline
    from hive_state_sqlite.options import parse_options

    return SqliteBaseline(parse_options(url))


@hookimpl
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """The scheme `sqlite`."""
    register(
        Backend(
            name="sqlite",
            schemes=("sqlite",),
            summary="One file, many processes of one machine; nothing to install.",
            connect=_connect,
            baseline=_baseline,
            options=OPTIONS,
        )
    )
