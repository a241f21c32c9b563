"""What a `postgres://` URL, or a table of the configuration, may say."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.options import Option, Type, Value, values_of
from hive_state_core.url import StoreURL

TLS = (
    Option(
        name="sslmode",
        choices=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        doc="whether TLS is wanted or needed, and what of the certificate is checked, as libpq has it",
    ),
    Option(name="sslrootcert", type=Type.FILE, doc="certificates of the authorities that are trusted"),
    Option(name="sslcert", type=Type.FILE, doc="the client's certificate"),
    Option(name="sslkey", type=Type.FILE, doc="the client's private key"),
    Option(name="sslpassword", secret=True, doc="of that key"),
    Option(name="sslcrl", type=Type.FILE, doc="certificates that were revoked"),
)
LOGIN = (
    Option(name="passfile", type=Type.FILE, doc="a file of passwords, as libpq has it"),
    Option(name="krbsrvname", doc="the Kerberos service of the server"),
)
OPTIONS = (
    Option(
        name="host",
        part="host",
        default="localhost",
        doc="the server; several with commas between; for a Unix socket its folder",
    ),
    Option(name="port", part="port", type=Type.WHOLE, least=1, most=65535, default=5432, doc="its port"),
    Option(name="database", part="path", doc="the database; it must be there"),
    Option(name="username", part="username", doc="the role; the default is libpq's"),
    Option(name="password", part="password", secret=True, doc="its password; the default is libpq's"),
    Option(name="schema", default="hive_state", doc="the PostgreSQL schema that holds all tables"),
    Option(
        name="min_connections",
        type=Type.WHOLE,
        least=0,
        most=10_000,
        default=5,
        doc="opened at once and kept",
    ),
    Option(
        name="max_connections",
        type=Type.WHOLE,
        least=1,
        most=10_000,
        default=20,
        doc="of one store; calls beyond wait for a free one",
    ),
    Option(
        name="command_timeout",
        type=Type.SECONDS,
        default=10.0,
        doc="after which a call is given up, waiting for locks and connections included",
    ),
    Option(
        name="connect_timeout",
        type=Type.SECONDS,
        default=10.0,
        doc="after which a server that does not answer is not reachable",
    ),
    Option(
        name="statement_cache_size",
        type=Type.WHOLE,
        least=0,
        most=10_000,
        default=100,
        doc="prepared statements kept by a connection",
    ),
    Option(
        name="pgbouncer",
        type=Type.FLAG,
        default=False,
        doc="a pooler of transactions is in front: nothing is set, prepared or listened for on a connection",
    ),
    Option(name="application_name", default="hive-state", doc="shown in pg_stat_activity"),
    *TLS,
    *LOGIN,
)
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The values of `OPTIONS`, and made of them:

    place  host, port and database in words, for messages
    dsn    for asyncpg: host, port, database and TLS, without user and password
    """

    place: str
    dsn: str
    user: str | None
    password: str | None
    schema: str
    min_connections: int
    max_connections: int
    command_timeout: float
    connect_timeout: float
    statement_cache_size: int
    pgbouncer: bool
    application_name: str

    def __repr__(self) -> str:
        return f"Options({self.place!r}, schema={self.schema!r})"


def parse_options(url: StoreURL) -> Options:
    """postgres://user:password@host:port/database?option=value. Raises ConfigError, naming what is wrong."""
    values = values_of(url, OPTIONS)
    database, schema = values["database"], str(values["schema"])
    if not isinstance(database, str) or "/" in database:
        raise ConfigError("postgres:// names no database; write postgres://user@host/database")
    if not _SCHEMA.fullmatch(schema):
        raise ConfigError("option schema of postgres:// is up to 48 of a-z, 0-9 and _, no digit first")
    made = {
        "place": f"{values['host']}:{values['port']}/{database}",
        "dsn": f"postgresql://?{urlencode(_dsn(values))}",
        "user": values["username"],
        "statement_cache_size": 0 if values["pgbouncer"] else values["statement_cache_size"],
    }
    options = msgspec.convert({**values, **made}, Options)
    if options.min_connections > options.max_connections:
        raise ConfigError(
            f"option min_connections of postgres:// is {options.min_connections}, which is above"
            f" max_connections, {options.max_connections}"
        )
    return options


def _dsn(values: dict[str, Value]) -> dict[str, Value]:
    passed = {
        option.name: values[option.name] for option in (*TLS, *LOGIN) if values[option.name] is not None
    }
    return {"host": values["host"], "port": values["port"], "dbname": values["database"], **passed}


def connect_arguments(options: Options) -> dict[str, Any]:
    """For `asyncpg.connect` and `asyncpg.create_pool`."""
    return {
        "dsn": options.dsn,
        "user": options.user,
        "password": options.password,
        "timeout": options.connect_timeout,
        "statement_cache_size": options.statement_cache_size,
    }
