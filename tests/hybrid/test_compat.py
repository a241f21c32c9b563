"""The original guide's manager over both servers."""

from __future__ import annotations

from typing import Any

import pytest

from hive_state_core.compat import HybridConfig, HybridStateManager, PostgreSQLConfig, RedisConfig
from hive_state_core.errors import ConfigError
from hive_state_core.url import parse_url


def config(postgres_url: str, valkey_url: str, **options: Any) -> HybridConfig:
    durable, fast = parse_url(postgres_url), parse_url(valkey_url)
    return HybridConfig(
        PostgreSQLConfig(
            host=durable.host or "",
            port=durable.port or 0,
            database=durable.path.strip("/"),
            username=durable.username or "",
            password=durable.password,
            min_connections=1,
        ),
        RedisConfig(host=fast.host or "", port=fast.port or 0, password=fast.password),
        **options,
    )


async def test_it_works_and_tells_how_both_servers_are(postgres_url: str, valkey: Any) -> None:
    async with HybridStateManager(config(postgres_url, valkey.url)) as manager:
        await manager.register_agent("a", ["plan"])
        assert await manager.add_task("t", 1, {"type": "build"})
        assert await manager.assign_task("t", "a")
        assert await manager.complete_task("t")
        state = await manager.get_agent_state("a")
        assert state is not None
        health = await manager.health_check()
        assert (health["database_connected"], health["error"]) == (True, None)
        assert health["postgresql"]["database_connected"]
        assert health["postgresql"]["in_use"] + health["postgresql"]["idle"] >= 1
        assert health["redis"]["redis_connected"]
        assert health["redis"]["used_memory"] > 0
        assert 0 <= health["performance"]["cache_hit_ratio"] <= 1
        valkey.kill()
        health = await manager.health_check()
        assert health["status"] == "warn"
        assert health["postgresql"]["database_connected"]
        assert not health["redis"]["redis_connected"]


async def test_a_database_that_is_gone() -> None:
    manager = HybridStateManager(HybridConfig(PostgreSQLConfig(port=1)))
    health = await manager.health_check()
    assert (health["status"], health["postgresql"]["database_connected"]) == ("fail", False)
    assert health["redis"]["redis_connected"] is None
    await manager.close()


def test_passwords_do_not_show() -> None:
    made = HybridConfig(PostgreSQLConfig(password="secret"), RedisConfig(password="secret"))
    assert "secret" not in repr(made)


def test_a_level_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="consistency"):
        HybridConfig(consistency="loose").choice()
