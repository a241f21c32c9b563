"""The original hive's manager on PostgreSQL."""

from __future__ import annotations

from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]

from hive_state_core.compat import PostgreSQLConfig, PostgreSQLStateManager
from hive_state_core.url import parse_url


async def test_it_creates_the_schema_and_works(server_url: str) -> None:
    server, database = parse_url(server_url), f"compat_{uuid4().hex[:8]}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {database}")
    await connection.close()
    config = PostgreSQLConfig(
        host=server.host or "",
        port=server.port or 0,
        database=database,
        username=server.username or "",
        password=server.password,
        min_connections=1,
        max_connections=3,
    )
    manager = PostgreSQLStateManager(config)
    health = await manager.health_check()
    assert health["database_connected"], health["error"]
    await manager.register_agent("a", ["plan"])
    assert await manager.set_agent_state("b", {"status": "working"}, ttl=3600)
    for id, priority in (("low", 9), ("high", 1)):
        assert await manager.add_task(id, priority, {"type": "build"})
    task = await manager.get_next_priority_task()
    assert task is not None
    assert task.task_id == "high"
    assert await manager.assign_task("high", "a")
    assert await manager.complete_task("high")
    assert await manager.update_task_state("low", status="failed", priority=2)
    assert await manager.create_checkpoint("nightly", {"n": 1}) == "checkpoint_1"
    state = await manager.get_system_state()
    assert (state.total_agents, state.active_agents, state.completed_tasks, state.failed_tasks) == (
        2,
        1,
        1,
        1,
    )
    assert await manager.cleanup_old_data()
    assert await manager.shutdown()
