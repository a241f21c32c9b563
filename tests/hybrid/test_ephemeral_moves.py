"""A hive that moves to a hybrid and back: what is ephemeral there stays behind, and nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from click.testing import CliRunner

from hive_state_core import Store, open_store
from hive_state_core.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hive-state.toml").write_text(f"""
use = "both"
[stores.local]
url = "sqlite:///local.db"
[stores.durable]
url = "sqlite:///durable.db"
[stores.fast]
url = "memory://{uuid4().hex}"
[stores.prod]
backend = "hybrid"
durable = "durable"
fast = "fast"
ephemeral = ["presence", "logs"]
[stores.both]
backend = "dual-write"
primary = "local"
secondary = "prod"
ack = "both"
shadow = 100
""")


async def told(*words: str) -> str:
    result = await asyncio.to_thread(CliRunner().invoke, main, ["migrate", *words])
    assert result.exit_code == 0, result.output
    return result.output


async def work(hive: Store, number: int) -> None:
    await hive.records.put("presence", "a", number)
    await hive.records.put("kept", "a", number)
    await hive.events.publish("logs", number)
    await hive.events.publish("audit", number)


async def seen(hive: Store) -> list[object]:
    records = [await hive.records.get(name, "a", fresh=True) for name in ("presence", "kept")]
    values: list[object] = [None if record is None else record.value for record in records]
    return [*values, len(await hive.events.read("logs")), len(await hive.events.read("audit"))]


async def test_at_work_there_and_back() -> None:
    async with open_store("local", follow=False) as hive:
        await work(hive, 1)
    plan = json.loads(await told("plan", "--from", "local", "--to", "prod", "--json"))
    assert any("logs, presence live in its fast store alone" in each for each in plan["warnings"])
    assert any("a read in prod (bounded) may return less than in local" in each for each in plan["warnings"])
    async with open_store("both", janitor=False) as hive, open_store("local", janitor=False) as unaware:
        await told("start", "--from", "local", "--to", "prod")
        await work(hive, 2)
        await told("verify")
        await told("switch")
        assert await seen(hive) == await seen(unaware) == [None, 2, 0, 2]
        await asyncio.gather(work(hive, 3), work(unaware, 3))
        assert await seen(hive) == await seen(unaware) == [3, 3, 2, 4]
        for _ in range(2):  # it asks the cache, too
            assert (await unaware.records.get("presence", "a")).value == 3  # type: ignore[union-attr]
        await told("verify")
        await told("rollback")
        until = monotonic() + 10
        while (await hive.records.get("presence", "a")).value == 3:  # type: ignore[union-attr]
            assert monotonic() < until, "who reads nothing else never hears of the move"
            await asyncio.sleep(0.02)
        assert await seen(hive) == [2, 3, 2, 4]  # as it was there before
        await work(hive, 4)
        assert await seen(hive) == [4, 4, 3, 5]


async def test_at_rest() -> None:
    async with open_store("local", follow=False) as hive:
        await work(hive, 1)
    assert "logs, presence" in await told("run", "--offline", "--dry-run", "--from", "local", "--to", "prod")
    await told("run", "--offline", "--from", "local", "--to", "prod")
    async with open_store("prod", follow=False) as hive:
        assert await seen(hive) == [None, 1, 0, 1]
