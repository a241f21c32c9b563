"""The PostgreSQL backend: many machines, one server; needs the extra `postgres` (asyncpg).

Registered by the entry point `hive_state`; nothing heavy is imported before a store is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hive_state_core.hookspecs import hookimpl
from hive_state_core.plugins import Backend
from hive_state_postgres.options import OPTIONS

if TYPE_CHECKING:
    from hive_state_core.baselines import Baseline, Bulk
    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL


def _connect(url: StoreURL, namespace: str) -> Driver:
    from hive_state_postgres.driver import PostgresDriver
    from hive_state_postgres.options import parse_options

    return PostgresDriver(parse_options(url), namespace)


def _baseline(url: StoreURL) -> Baseline:
    from hive_state_postgres.baseline import PostgresBaseline
    from hive_state_postgres.options import parse_options

    return PostgresBaseline(parse_options(url))


def _bulk(url: StoreURL) -> Bulk:
    from hive_state_postgres.bulk import PostgresBulk
    from hive_state_postgres.options import parse_options

    return PostgresBulk(parse_options(url))


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
            bulk=_bulk,
            options=OPTIONS,
            requires=("asyncpg",),
            install="pip install 'hive-state[postgres]'",
        )
    )
