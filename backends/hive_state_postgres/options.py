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
        doc="the server; several as a:5432,b:5432, which are tried in turn; for a Unix socket its folder",
    ),
    Option(name="port", part="port", type=Type.WHOLE, least=1, most=65535, default=5432, doc="its port"),
    Option(name="database", part="path", doc="the database; it must be there"),
    Option(name="username", part="username", doc="the role; the default is libpq's"),
    Option(name="password", part="password", secret=True, doc="its password; the default is libpq's"),
    Option(
        name="target_session_attrs",
        choices=("any", "primary", "standby", "read-write", "read-only"),
        doc="which kind of server is wanted; the default is any, and read-write if several are named",
    ),
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

    place  servers and database in words, for messages
    hosts  the servers, each with its port
    dsn    for asyncpg: database and TLS, without user and password
    files  (option, path) of each file that is named
    """

    place: str
    hosts: tuple[tuple[str, int], ...]
    database: str
    dsn: str
    files: tuple[tuple[str, str], ...]
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
    target_session_attrs: str

    @property
    def fails_over(self) -> bool:
        """Whether a server that takes no writes any more is to be left for another."""
        return self.target_session_attrs in ("primary", "read-write")

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
    hosts = [_server(text, values["port"]) for text in str(values["host"]).split(",")]
    made = {
        "place": ",".join(f"{host}:{port}" for host, port in hosts) + f"/{database}",
        "hosts": hosts,
        "target_session_attrs": values["target_session_attrs"]
        or ("any" if len(hosts) == 1 else "read-write"),
        "dsn": f"postgresql://?{urlencode(_dsn(values))}",
        "files": [
            (option.name, values[option.name])
            for option in (*TLS, *LOGIN)
            if option.type is Type.FILE and values[option.name] is not None
        ],
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
    return {"dbname": values["database"], **passed}


def _server(text: str, port: Value) -> tuple[str, Value]:
    """name, name:port, [IPv6]:port or IPv6; with the given port if it has none of its own."""
    name, colon, own = text.rpartition(":")
    if not colon or text.startswith("/") or (":" in name and not name.endswith("]")):
        name, own = text, ""
    if not name or (own and not (own.isascii() and own.isdigit() and 0 < int(own) < 65536)):
        raise ConfigError("option host of postgres:// is a server, or several: host:port,host:port")
    return name.strip("[]"), int(own) if own else port


def connect_arguments(options: Options) -> dict[str, Any]:
    """For `asyncpg.connect` and `asyncpg.create_pool`."""
    return {
        "dsn": options.dsn,
        "user": options.user,
        "password": options.password,
        "timeout": options.connect_timeout,
        "statement_cache_size": options.statement_cache_size,
        "target_session_attrs": options.target_session_attrs,
    }
