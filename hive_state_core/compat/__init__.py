"""The original hive's state managers, over an ordinary store: existing code changes an import.

What they write are ordinary agents, tasks of the queue "tasks" and checkpoints (see `legacy_model`), so old
and new code work at one hive. What the original swallowed or raced on is done right; every difference is
listed in docs/migrate-from-leanvibe.md. In short: False and None mean "no" (there is no such agent or task,
or it is in no state for that), and trouble with the store is raised; what a manager reads comes from the
store, never from a cache of its own; and a task that a manager hands out is leased.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hive_state_core.compat.hybrid import HybridConfig, HybridStateManager
from hive_state_core.compat.manager import Manager
from hive_state_core.compat.values import AgentState, PostgreSQLConfig, RedisConfig, SystemState, TaskState
from hive_state_core.errors import SchemaMismatch
from hive_state_core.retention import retention
from hive_state_core.store import Store
from hive_state_core.validate import Duration

__all__ = [
    "AgentState",
    "HybridConfig",
    "HybridStateManager",
    "PostgreSQLConfig",
    "PostgreSQLStateManager",
    "RedisConfig",
    "RedisStateManager",
    "StateManager",
    "SystemState",
    "TaskState",
]


class StateManager(Manager):
    """The original hive's manager, on a SQLite file of ours; `db_path` None: state_manager.db.

    The original's own file is not such a file: import it once, by `hive-state import-legacy`.
    """

    def __init__(self, db_path: str | Path | None = None) -> None:
        self.db_path: str = str(db_path or "state_manager.db")
        super().__init__(f"sqlite:///{quote(self.db_path)}")

    async def _prepare(self, error: SchemaMismatch) -> Store:
        raise SchemaMismatch(
            f"{self.db_path} is no hive-state store. If it is the original hive's file, import it into a new"
            f" one (hive-state import-legacy {self.db_path} --to sqlite:///hive.db) and use that:"
            " StateManager('hive.db')",
            found=None,
            expected=error.expected,
        ) from error


class PostgreSQLStateManager(Manager):
    """The same on PostgreSQL. The schema is created if it is not there."""

    def __init__(self, config: PostgreSQLConfig | None = None) -> None:
        self.config: PostgreSQLConfig = config or PostgreSQLConfig()
        super().__init__(self.config.url())

    async def _prepare(self, error: SchemaMismatch) -> Store:
        return await self._with_schema()


class RedisStateManager(Manager):
    """The same on Redis or Valkey, which needs no schema. What a write survives, its settings say."""

    _connected = "redis_connected"

    def __init__(self, config: RedisConfig | None = None) -> None:
        self.config: RedisConfig = config or RedisConfig()
        super().__init__(self.config.url(), retention(events_count=self.config.stream_maxlen))

    async def set_agent_state(
        self, agent_id: str, state: AgentState | Mapping[str, Any], ttl: Duration | None = None
    ) -> bool:
        """As that of all managers; no ttl is the `default_ttl` of the configuration."""
        kept = self.config.default_ttl if ttl is None else ttl
        return await super().set_agent_state(agent_id, state, kept)

    async def health_check(self) -> dict[str, Any]:
        """As that of all managers, with `redis_connected`, and `used_memory` and `max_memory` in bytes (None:
        not known, or without bound)."""
        told = await super().health_check()
        memory = None
        if told["error"] is None:
            memory = (await (await self._store()).stats()).memory.get("redis")
        return told | {
            "used_memory": None if memory is None else memory.used,
            "max_memory": None if memory is None else memory.most,
        }
