"""What of a PostgreSQL server may be wrong for a store: for `hive-state doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hive_state_core.spi import Finding
from hive_state_postgres.dialing import Connection
from hive_state_postgres.errors import RIGHTS
from hive_state_postgres.options import Options
from hive_state_postgres.statements import Statements


async def examine(db: Connection, statements: Statements, options: Options) -> list[Finding]:
    row = await db.fetchrow(statements.text("examine"), options.schema)
    return [
        *_server(row),
        _durability(row),
        _connections(row, options.max_connections),
        *_rights(row, options),
    ]


def _server(row: Any) -> Iterator[Finding]:
    yield Finding(name="server", status="ok", sentence=f"PostgreSQL {row['version']}")
    if row["standby"]:
        mend = "name the primary, or all hosts of the cluster in ?host="
        yield Finding(name="standby", status="fail", sentence="the server takes no writes", mend=mend)
    if row["remote"] and not row["tls"]:
        sentence = "the connection to another host is not encrypted"
        yield Finding(name="tls", status="warn", sentence=sentence, mend="add ?sslmode=verify-full")


def _durability(row: Any) -> Finding:
    settings = {name: row[name] for name in ("fsync", "synchronous_commit", "full_page_writes")}
    said = ", ".join(f"{name} is {value}" for name, value in settings.items())
    off = [name for name, value in settings.items() if value == "off"]
    if not off:
        return Finding(name="durability", status="ok", sentence=said)
    mend = f"turn {' and '.join(off)} on: a crash may take acknowledged writes, or the database"
    return Finding(name="durability", status="warn", sentence=said, mend=mend)


def _connections(row: Any, wanted: int) -> Finding:
    free = row["most"] - row["connected"]
    sentence = f"{row['connected']} of {row['most']} are taken; each process of ours takes up to {wanted}"
    if free >= wanted:
        return Finding(name="connections", status="ok", sentence=sentence)
    mend = (
        "lower max_connections in the URL, raise it on the server, or put PgBouncer between (?pgbouncer=true)"
    )
    return Finding(name="connections", status="warn", sentence=sentence, mend=mend)


def _rights(row: Any, options: Options) -> Iterator[Finding]:
    if row["there"] and not row["may_use"]:
        sentence = f"the user has no right on schema {options.schema}"
        mend = f"let its owner grant {RIGHTS}"
        yield Finding(name="rights", status="fail", sentence=sentence, mend=mend)
    elif not row["there"] and not row["may_create"]:
        sentence = f"there is no schema {options.schema}, and the user may not create one"
        mend = "run `hive-state init` as the owner of the database"
        yield Finding(name="rights", status="fail", sentence=sentence, mend=mend)
    elif row["superuser"]:
        mend = f"use a role of its own, which needs {RIGHTS}"
        yield Finding(name="rights", status="warn", sentence="the user is a superuser", mend=mend)
    else:
        yield Finding(name="rights", status="ok", sentence="the user is no superuser, and may use the schema")
