"""Creating and recognising the schema, and the rows of one namespace in it."""

from __future__ import annotations

from uuid import uuid4

from hive_state_core.errors import ConfigError, SchemaMismatch
from hive_state_core.spi import SchemaInfo
from hive_state_postgres.dialing import Connection
from hive_state_postgres.errors import SCHEMA_VERSION, missing_schema
from hive_state_postgres.options import Options
from hive_state_postgres.statements import Statements

TABLES = (
    "record_index",
    "records",
    "task_children",
    "tasks",
    "queues",
    "pending",
    "groups",
    "events",
    "streams",
    "commits",
    "trips",
    "marks",
    "written",
    "gone",
    "notes",
    "control",
)
OLDEST_SERVER = 140_000


async def found_version(db: Connection, options: Options, statements: Statements) -> int | None:
    """The version of the schema, None if it is not there.

    Raises SchemaMismatch for a schema of that name that is not ours, or newer than ours, and ConfigError for
    a server or a database that cannot hold one.
    """
    await _suits(db, options)
    ours, anything = await db.fetchrow(
        "SELECT to_regclass($1) IS NOT NULL,"
        " EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace($2))",
        f'"{options.schema}".schema_version',
        f'"{options.schema}"',
    )
    if not ours:
        if anything:
            raise SchemaMismatch(
                f"the schema {options.schema} in {options.place} is another program's; give another one"
                " (option schema)",
                found=None,
                expected=SCHEMA_VERSION,
            )
        return None
    version: int | None = await db.fetchval(statements.qualify("SELECT version FROM hive.schema_version"))
    if version is not None and version > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{options.place} has schema version {version}, this hive-state knows up to {SCHEMA_VERSION}:"
            " upgrade hive-state",
            found=version,
            expected=SCHEMA_VERSION,
        )
    return version


async def _suits(db: Connection, options: Options) -> None:
    version = await db.fetchval("SELECT current_setting('server_version_num')::int")
    if version < OLDEST_SERVER:
        raise ConfigError(f"PostgreSQL at {options.place} is older than 14")
    if await db.fetchval("SELECT current_setting('server_encoding')") != "UTF8":
        raise ConfigError(f"the database at {options.place} is not in UTF8; create one that is")


async def upgrade(db: Connection, options: Options, statements: Statements) -> None:
    """Create the schema if it is not there, or make an older one current. All or nothing; a second one waits,
    and finds it done."""
    async with db.transaction():
        await db.execute("SET LOCAL client_min_messages = warning")
        await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('hive-state schema', 0))")
        found = await found_version(db, options, statements)
        if found == SCHEMA_VERSION:
            return
        for script in statements.creation() if found is None else statements.renewal():
            await db.execute(script)
        written = (
            "INSERT INTO hive.schema_version VALUES"
            if found is None
            else "UPDATE hive.schema_version SET version ="
        )
        await db.execute(statements.qualify(f"{written} ({SCHEMA_VERSION})"))


async def namespace_id(db: Connection, options: Options, statements: Statements, namespace: str) -> int:
    """`control.ns` of the namespace. Raises SchemaMismatch if there is no schema yet."""
    found = await found_version(db, options, statements)
    if found is None:
        raise missing_schema(f"PostgreSQL at {options.place}, schema {options.schema}")
    if found < SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{options.place} has schema version {found}, this hive-state needs {SCHEMA_VERSION}:"
            " run `hive-state init` with this URL to upgrade it",
            found=found,
            expected=SCHEMA_VERSION,
        )
    ns = await db.fetchval(statements.namespace_read, namespace)
    if ns is None:
        await db.execute(statements.namespace_write, namespace, uuid4().hex)
        ns = await db.fetchval(statements.namespace_read, namespace)
    return int(ns)


async def drop_namespace(db: Connection, statements: Statements, namespace: str) -> None:
    """Remove every row of one namespace, alone among its writers."""
    async with db.transaction():
        ns = await db.fetchval(
            statements.qualify("SELECT ns FROM hive.control WHERE namespace = $1"), namespace
        )
        if ns is None:
            return
        await db.execute(
            statements.qualify("SELECT pg_advisory_xact_lock('hive.control'::regclass::oid::int, $1)"), ns
        )
        for table in TABLES:
            await db.execute(statements.qualify(f"DELETE FROM hive.{table} WHERE ns = $1"), ns)


def info(found: int | None) -> SchemaInfo:
    steps: tuple[str, ...] = ()
    if found != SCHEMA_VERSION:
        steps = ("create the schema" if found is None else f"upgrade the schema from version {found}",)
    return SchemaInfo(found=found, wanted=SCHEMA_VERSION, steps=steps)
