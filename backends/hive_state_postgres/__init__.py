"""The PostgreSQL backend: many machines, one server; needs the extra `postgres` (asyncpg).

Registered by the entry point `hive_state`; nothing heavy is imported before a store is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from hive_state_core.errors import ConfigError
from hive_state_core.hookspecs import hookimpl
from hive_state_core.plugins import Backend

if TYPE_CHECKING:
    from hive_state_core.baselines import Baseline
    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL


def _connect(url: StoreURL, namespace: str) -> Driver:
    from hive_state_postgres.options import parse_options

    options = parse_options(url)
    _require_asyncpg()
    from hive_state_postgres.driver import PostgresDriver

    return PostgresDriver(options, namespace)


def _baseline(url: StoreURL) -> Baseline:
    from hive_state_postgres.options import parse_options

    options = parse_options(url)
    _require_asyncpg()
    from hive_state_postgres.baseline import PostgresBaseline

    return PostgresBaseline(options)


def _require_asyncpg() -> None:
    try:
        import_module("asyncpg")
    except ImportError as error:
        raise ConfigError(
            "the PostgreSQL backend needs asyncpg: pip install 'hive-state[postgres]'"
        ) from error


@hookimpl
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """The schemes `postgres` and `postgresql`."""
    register(
        Backend(
            name="postgres",
            schemes=("postgres", "postgresql"),
            summary="A PostgreSQL server (14 or newer), shared by many machines.",
            connect=_connect,
            baseline=_baseline,
        )
    )
