"""What cannot be opened says so in one sentence; the schema is made once, and only when asked for."""

from __future__ import annotations

import asyncio
import traceback

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import (
    AccessDenied,
    ConfigError,
    HiveStateError,
    NotPrimary,
    SchemaMismatch,
    Unavailable,
)
from hive_state_core.url import parse_url
from hive_state_postgres.errors import SCHEMA_VERSION

SECRET = "s3cret-4711"


async def opening(url: str) -> HiveStateError:
    """The error that opening it raises."""
    with pytest.raises(HiveStateError) as caught:
        async with open_store(url):
            pass
    assert "\n" not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


def place(url: str) -> str:
    parsed = parse_url(url)
    return f"{parsed.host}:{parsed.port}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://h/db?no_such=1", "no_such"),
        ("postgres://h", "names no database"),
        ("postgres://h/db?schema=Robert'); --", "option schema"),
        ("postgres://h/db?max_connections=0", "max_connections"),
        ("postgres://h/db?min_connections=9&max_connections=3", "min_connections"),
        ("postgres://h/db?command_timeout=soon", "command_timeout"),
        ("postgres://h/db?pgbouncer=perhaps", "pgbouncer"),
    ],
)
async def test_what_a_url_cannot_say(url: str, said: str) -> None:
    error = await opening(url)
    assert isinstance(error, ConfigError)
    assert said in str(error)


async def test_nobody_listens() -> None:
    error = await opening(f"postgres://u:{SECRET}@127.0.0.1:9/db")
    assert isinstance(error, Unavailable)


async def test_no_such_database(server_url: str) -> None:
    user = parse_url(server_url).username
    error = await opening(f"postgres://{user}:{SECRET}@{place(server_url)}/no_such_db")
    assert isinstance(error, ConfigError | AccessDenied)


async def test_no_such_user(server_url: str) -> None:
    error = await opening(f"postgres://nobody_here:{SECRET}@{place(server_url)}/postgres")
    assert isinstance(error, AccessDenied)


async def test_no_schema(server_url: str) -> None:
    error = await opening(f"{server_url}?schema=not_made")
    assert isinstance(error, SchemaMismatch)
    assert "hive-state init" in str(error)
    assert error.found is None


async def test_a_schema_of_another_program(server_url: str) -> None:
    db = await asyncpg.connect(server_url)
    await db.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.records (id int)")
    await db.close()
    error = await opening(f"{server_url}?schema=theirs")
    assert isinstance(error, SchemaMismatch)
    assert "another program" in str(error)


async def test_made_by_many_at_once(server_url: str) -> None:
    stores = [open_store(f"{server_url}?schema=made_at_once") for _ in range(5)]
    infos = await asyncio.gather(*(store._driver.schema("upgrade") for store in stores))
    assert {info.found for info in infos} == {SCHEMA_VERSION}
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.close() for store in stores))


@pytest.mark.parametrize(("version", "said"), [(99, "upgrade hive-state"), (0, "hive-state init")])
async def test_another_version_of_the_schema(url: str, version: int, said: str) -> None:
    db = await asyncpg.connect(url.partition("?")[0])
    schema = parse_url(url).options["schema"]
    await db.execute(f"UPDATE {schema}.schema_version SET version = {version}")
    await db.close()
    error = await opening(url)
    assert isinstance(error, SchemaMismatch)
    assert error.found == version
    assert said in str(error)


async def test_an_older_schema_is_told_and_upgraded_with_all_that_it_holds(url: str) -> None:
    """Its functions have another meaning, so they are not called; none of them is left."""
    async with open_store(url) as hive:
        await hive.records.put("c", "k", 1, index={"n": 1})
    db = await asyncpg.connect(url.partition("?")[0])
    schema = parse_url(url).options["schema"]
    await db.execute(f"""
        UPDATE {schema}.schema_version SET version = 1;
        DROP FUNCTION {schema}.outcome;
        CREATE FUNCTION {schema}.outcome(p_old text) RETURNS int LANGUAGE sql AS 'SELECT 1';
        GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
        GRANT SELECT ON {schema}.records_view TO PUBLIC;
    """)
    error = await opening(url)
    assert isinstance(error, SchemaMismatch)
    assert "needs 2: run `hive-state init` with this URL to upgrade it" in str(error)
    store = open_store(url)
    steps = ("upgrade the schema from version 1",)
    assert (await store.inspect_schema()).steps == (await store.upgrade_schema()).steps == steps
    assert (await open_store(url).upgrade_schema()).steps == ()
    async with store:
        assert (await store.records.get("c", "k")).value == 1  # type: ignore[union-attr]
        await store.records.put("c", "k", 2, index={"n": 2})
        assert [found.key async for found in store.records.list("c", where={"n": 2})] == ["k"]
    assert await db.fetchval(f"SELECT to_regprocedure('{schema}.outcome(text)')") is None
    assert await db.fetchval(f"SELECT has_table_privilege('public', '{schema}.records_view', 'SELECT')")
    await db.close()


async def test_a_server_that_takes_no_writes(url: str) -> None:
    async with open_store(url) as hive:
        await hive.records.put("c", "k", 1)
        database = "postgres"
        db = await asyncpg.connect(url.partition("?")[0])
        await db.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        try:
            async with open_store(url) as reader:
                record = await reader.records.get("c", "k")
                assert record is not None
                with pytest.raises(NotPrimary):
                    await reader.records.put("c", "k", 2)
        finally:
            await db.execute("SET default_transaction_read_only = off")
            await db.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
            await db.close()


async def test_views_show_every_value(hive: Store, url: str) -> None:
    await hive.records.put("c", "plain", {"a": [1, "ü"]})
    await hive.records.put("c", "nul", "a\0b")
    await hive.records.put("c", "huge", 1e308)
    await hive.tasks.enqueue("q", {"n": 1}, id="t")
    db = await asyncpg.connect(url.partition("?")[0])
    schema = parse_url(url).options["schema"]
    rows = dict(await db.fetch(f"SELECT key, value::text FROM {schema}.records_view"))
    tasks = await db.fetch(f"SELECT id, payload::text, state FROM {schema}.tasks_view")
    await db.close()
    assert rows["plain"] == '{"a": [1, "ü"]}'
    assert set(rows) == {"plain", "nul", "huge"}
    assert [tuple(task) for task in tasks] == [("t", '{"n": 1}', "ready")]
