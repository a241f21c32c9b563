"""The hand-written competitor does what it is compared for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core.errors import Closed, Unavailable
from hive_state_core.url import parse_url
from hive_state_postgres.baseline import PostgresBaseline
from hive_state_postgres.options import parse_options
from tests.reference.baselines import CHECKS, Check


async def schemas(url: str) -> list[str]:
    db = await asyncpg.connect(url)
    rows = await db.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%baseline%'")
    await db.close()
    return [row[0] for row in rows]


@pytest.fixture
async def baseline(server_url: str) -> AsyncIterator[PostgresBaseline]:
    made = PostgresBaseline(parse_options(parse_url(server_url)))
    await made.open()
    assert len(await schemas(server_url)) == 1
    yield made
    await made.close()
    assert await schemas(server_url) == []
    with pytest.raises(Closed):
        await made.get("a")


@pytest.mark.parametrize("check", CHECKS)
async def test_it_does_what_it_is_compared_for(baseline: PostgresBaseline, check: Check) -> None:
    await check(baseline)


async def test_it_says_what_it_ran_on(baseline: PostgresBaseline) -> None:
    about = await baseline.about()
    assert (about["pool"], about["synchronous_commit"]) == (20, "on")
    assert str(about["library"]).startswith("asyncpg ")


async def test_a_server_that_is_not_there() -> None:
    unreachable = PostgresBaseline(parse_options(parse_url("postgres://u:secret@127.0.0.1:1/d")))
    with pytest.raises(Unavailable, match="nothing listens there"):
        await unreachable.open()
    await unreachable.close()
