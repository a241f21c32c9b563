"""A role of least privilege, and one that lacks a right: what is missing is said, and no more is needed."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner

from hive_state_core import open_store
from hive_state_core.cli import main
from hive_state_core.errors import AccessDenied
from hive_state_core.spi import Retention
from hive_state_core.url import parse_url

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "postgres.md"
PASSWORD = "s3cret-4711"


def role_script(schema: str, role: str) -> str:
    """The one of the documentation, for another schema and role."""
    (script,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", PAGE.read_text(), re.DOTALL)
    script = re.sub(r"\bhive_state\b", schema, script.replace("'...'", f"'{PASSWORD}'"))
    return re.sub(r"\bhive\b", role, script)


@pytest.fixture
async def role(url: str) -> str:
    """URL of a store, as a role that was made by the documented script."""
    schema = parse_url(url).options["schema"]
    name = f"role_{schema}"
    db = await asyncpg.connect(url.partition("?")[0])
    await db.execute(role_script(schema, name))
    await db.close()
    return as_role(url, name)


def as_role(url: str, name: str) -> str:
    return re.sub(r"//.*?@", f"//{name}:{PASSWORD}@", url)


async def test_the_documented_role_is_enough(role: str) -> None:
    async with open_store(role) as hive:
        await hive.records.put("c", "k", 1, index={"a": 1})
        await hive.records.put("c", "k", 2, ttl=60, index={"a": 2})
        assert [record.value async for record in hive.records.list("c", where={"a": 2})] == [2]
        await hive.tasks.enqueue("q", 1, id="parent")
        await hive.tasks.enqueue("q", 1, depends_on=["parent"])
        for _ in range(2):
            async for lease in hive.tasks.consume("q", worker="w"):
                async with lease, hive.atomic() as unit:
                    unit.events.publish("audit", lease.id)
                break
        await hive.events.create_group("audit", "g", start="beginning")
        for delivery in await hive.events.claim("audit", "g", consumer="c", lease=30, limit=2):
            await hive.events.ack(delivery)
        await hive.events.trim("audit", first=2)
        await hive._driver.sweep(100, Retention(completed=0, tombstones=0))
        assert await hive._driver.outcome("never") is None
        assert await hive.health()
    await open_store(role)._driver.schema("drop")


async def test_it_cannot_change_the_schema(role: str) -> None:
    schema = parse_url(role).options["schema"]
    db = await asyncpg.connect(role.partition("?")[0])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(f"DROP TABLE {schema}.records")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(f"CREATE TABLE {schema}.mine (id int)")
    await db.close()


async def test_a_role_without_rights(url: str) -> None:
    name = f"none_{parse_url(url).options['schema']}"
    db = await asyncpg.connect(url.partition("?")[0])
    await db.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    await db.close()
    with pytest.raises(AccessDenied, match="lacks a right") as caught:
        async with open_store(as_role(url, name)):
            pass
    assert PASSWORD not in f"{caught.value!r}"


async def test_a_right_that_is_taken_away(role: str, url: str) -> None:
    schema = parse_url(url).options["schema"]
    async with open_store(role) as hive:
        await hive.records.put("c", "k", 1)
        db = await asyncpg.connect(url.partition("?")[0])
        await db.execute(f"REVOKE INSERT ON {schema}.trips FROM role_{schema}")
        await db.close()
        with pytest.raises(AccessDenied, match=r"lacks a right .*table trips.* needs USAGE on the schema"):
            await hive.records.put("c", "k", 2)
        record = await hive.records.get("c", "k")
        assert record is not None
        assert record.value == 1


def test_the_command_line_says_it_in_one_line(url_of_nobody: str) -> None:
    done = CliRunner().invoke(main, ["init", url_of_nobody])
    assert done.exit_code == 4
    assert PASSWORD not in done.output
    assert len(done.stderr.strip().splitlines()) == 1
    assert "lacks a right" in done.stderr


@pytest.fixture
async def url_of_nobody(url: str, server_url: str) -> str:
    """Of a role that may not even create a schema."""
    schema = parse_url(url).options["schema"]
    db = await asyncpg.connect(server_url)
    await db.execute(f"CREATE ROLE nobody_{schema} LOGIN PASSWORD '{PASSWORD}'")
    await db.close()
    return as_role(url, f"nobody_{schema}").replace(f"schema={schema}", "schema=elsewhere")
