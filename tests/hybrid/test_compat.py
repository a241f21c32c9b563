"""The original guide's manager over both servers."""

from __future__ import annotations

from typing import Any

import pytest

from hive_state_core.compat import (
    HybridConfig,
    HybridStateManager,
    PostgreSQLConfig,
    PostgreSQLStateManager,
    RedisConfig,
    RedisStateManager,
)
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


async def test_the_samples_of_the_original_guide(postgres_url: str, valkey_url: str) -> None:
    """Word for word, but for where the servers are."""
    configured = config(postgres_url, valkey_url, agent_cache_ttl=3600, task_cache_ttl=1800)
    postgresql_config, redis_config = configured.postgresql_config, configured.redis_config
    redis_config.default_ttl, redis_config.stream_maxlen = 3600, 10000
    agent_id, capabilities = "guide", ["plan"]

    manager = PostgreSQLStateManager(postgresql_config)
    await manager.register_agent(agent_id, capabilities)
    agent_state = await manager.get_agent_state(agent_id)
    assert agent_state is not None
    assert (agent_state.status, agent_state.capabilities) == ("idle", capabilities)
    await manager.close()

    redis_manager = RedisStateManager(redis_config)
    state, task_data = {"status": "working", "context_usage": 0.5}, {"type": "build", "priority": 1}
    await redis_manager.set_agent_state(agent_id, state, ttl=3600)
    message_id = await redis_manager.queue_task(task_data)
    async for lease in redis_manager.consume_tasks("consumer-1"):
        async with lease:
            assert (lease.id, lease.payload) == (message_id, task_data)
        break
    assert (await redis_manager.health_check())["redis_connected"]
    await redis_manager.close()

    hybrid = HybridStateManager(configured)
    await hybrid.register_agent(agent_id)  # PostgreSQL
    found = await hybrid.get_agent_state(agent_id)  # Cache-first
    assert found == agent_state.__class__(**{**vars(agent_state), "last_activity": found.last_activity})  # type: ignore[union-attr]
    health = await hybrid.health_check()
    assert health["postgresql"]["database_connected"]
    assert health["redis"]["redis_connected"]
    assert 0 <= health["performance"]["cache_hit_ratio"] <= 1
    await hybrid.close()
