"""What a `postgres://` URL may say."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.url import StoreURL

_OURS = (
    "schema",
    "min_connections",
    "max_connections",
    "command_timeout",
    "connect_timeout",
    "statement_cache_size",
    "pgbouncer",
    "application_name",
    "host",
)
_PASSED = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "passfile", "krbsrvname")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """place            host, port and database in words, for messages
    dsn              for asyncpg: host, port, database and TLS, without user and password
    schema           the PostgreSQL schema that holds the tables of all namespaces
    min_connections  that are opened at once and kept; more are opened as they are needed
    max_connections  of one store; calls beyond wait for one of them
    command_timeout  seconds after which a call is given up: waiting for locks and connections included
    connect_timeout  seconds after which a server that does not answer is not reachable
    statement_cache_size  prepared statements kept by a connection; 0 behind a pooler of transactions
    pgbouncer        such a pooler is in front: nothing is set, prepared or listened for on a connection
    """

    place: str
    dsn: str
    user: str | None
    password: str | None
    schema: str = "hive_state"
    min_connections: int = 5
    max_connections: int = 20
    command_timeout: float = 10.0
    connect_timeout: float = 10.0
    statement_cache_size: int = 100
    pgbouncer: bool = False
    application_name: str = "hive-state"

    def __repr__(self) -> str:
        return f"Options({self.place!r}, schema={self.schema!r})"


def parse_options(url: StoreURL) -> Options:
    """postgres://user:password@host:port/database?option=value. Raises ConfigError, naming what is wrong."""
    options = url.options
    for option in options:
        if option not in _OURS and option not in _PASSED:
            known = ", ".join((*_OURS, *_PASSED))
            raise ConfigError(f"unknown option {option!r} of a PostgreSQL URL; there are {known}")
    database = url.path.removeprefix("/")
    if not database or "/" in database:
        raise ConfigError("the PostgreSQL URL names no database; write postgres://user@host/database")
    schema = options.get("schema", "hive_state")
    if not _SCHEMA.fullmatch(schema):
        raise ConfigError("option schema of a PostgreSQL URL is up to 48 of a-z, 0-9 and _, no digit first")
    host = options.get("host") or url.host or "localhost"
    port = url.port or 5432
    smallest = _whole(options, "min_connections", 5, 0)
    pgbouncer = _flag(options, "pgbouncer")
    most = _whole(options, "max_connections", max(20, smallest), 1)
    if smallest > most:
        raise ConfigError("option min_connections of a PostgreSQL URL is above max_connections")
    query = {"host": host, "port": port, "dbname": database}
    query |= {option: options[option] for option in _PASSED if option in options}
    return Options(
        place=f"{host}:{port}/{database}",
        dsn=f"postgresql://?{urlencode(query)}",
        user=url.username,
        password=url.password,
        schema=schema,
        min_connections=smallest,
        max_connections=most,
        command_timeout=_seconds(options, "command_timeout", 10.0),
        connect_timeout=_seconds(options, "connect_timeout", 10.0),
        statement_cache_size=0 if pgbouncer else _whole(options, "statement_cache_size", 100, 0),
        pgbouncer=pgbouncer,
        application_name=options.get("application_name", "hive-state"),
    )


def connect_arguments(options: Options) -> dict[str, Any]:
    """For `asyncpg.connect` and `asyncpg.create_pool`."""
    return {
        "dsn": options.dsn,
        "user": options.user,
        "password": options.password,
        "timeout": options.connect_timeout,
        "statement_cache_size": options.statement_cache_size,
    }


def _whole(options: dict[str, str], option: str, default: int, least: int) -> int:
    text = options.get(option, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= 10_000:
        raise ConfigError(f"option {option} of a PostgreSQL URL is a whole number, {least} or more")
    return int(text)


def _seconds(options: dict[str, str], option: str, default: float) -> float:
    try:
        seconds = float(options.get(option, default))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ConfigError(f"option {option} of a PostgreSQL URL is a number of seconds above 0")
    return seconds


def _flag(options: dict[str, str], option: str) -> bool:
    text = options.get(option, "false").lower()
    if text not in ("true", "false", "1", "0", "yes", "no"):
        raise ConfigError(f"option {option} of a PostgreSQL URL is true or false")
    return text in ("true", "1", "yes")
