"""Random trips of every kind give on PostgreSQL what they give on the reference driver."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import open_store
from hive_state_core.url import parse_url
from tests.reference.comparing import Sides, beside_the_reference, seeds
from tests.reference.names import START


@pytest.fixture
async def sides(url: str) -> AsyncIterator[Sides]:
    """The clock is a row of a table."""
    schema = parse_url(url).options["schema"]
    db = await asyncpg.connect(url.partition("?")[0])
    await db.execute(
        f"CREATE TABLE {schema}.hand (at bigint); INSERT INTO {schema}.hand VALUES ({START});"
        f"CREATE OR REPLACE FUNCTION {schema}.instant(p_ns int, p_floor bigint) RETURNS bigint"
        f" LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT at FROM {schema}.hand); END $$"
    )

    async def set_clock(at: int) -> None:
        await db.execute(f"UPDATE {schema}.hand SET at = $1", at)

    async with open_store(url) as hive, beside_the_reference(hive._driver, set_clock) as sides:
        yield sides
    await db.close()


@pytest.mark.parametrize("seed", seeds(6))
async def test_as_the_reference(sides: Sides, seed: int) -> None:
    await sides.compare(seed)
