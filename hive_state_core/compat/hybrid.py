"""The original migration guide's manager over PostgreSQL and Redis together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hive_state_core.choosing import Choice, choose
from hive_state_core.compat.manager import Manager
from hive_state_core.compat.values import AgentState, PostgreSQLConfig, RedisConfig
from hive_state_core.config import Config
from hive_state_core.errors import SchemaMismatch
from hive_state_core.retention import retention
from hive_state_core.spi import Stats
from hive_state_core.store import Store
from hive_state_core.validate import Duration


@dataclass
class HybridConfig:
    """Where both servers are, and how the one is used as a cache of the other.

    agent_cache_ttl  seconds for which Redis keeps what nobody writes again. It bounds the room that this
                     takes, not how old a read may be: what is written is replaced or dropped at once
    task_cache_ttl   is not used: tasks are read from PostgreSQL, which alone knows who holds them
    cache_hit_ratio_target  less than that, of a thousand reads at least, is a warning of `health_check`
    consistency      linearizable, bounded or session: what a read may return
    """

    postgresql_config: PostgreSQLConfig = field(default_factory=PostgreSQLConfig)
    redis_config: RedisConfig = field(default_factory=RedisConfig)
    agent_cache_ttl: float = 3600
    task_cache_ttl: float = 1800
    cache_hit_ratio_target: float = 0.95
    consistency: str = "bounded"

    def choice(self) -> Choice:
        """As `open_store` takes it. It holds the passwords."""
        stores = {
            "postgresql": {"url": self.postgresql_config.url()},
            "redis": {"url": self.redis_config.url()},
            "hybrid": {
                "backend": "hybrid",
                "durable": "postgresql",
                "fast": "redis",
                "consistency": self.consistency,
                "cache_ttl": self.agent_cache_ttl,
                "cache_hit_ratio_target": self.cache_hit_ratio_target,
            },
        }
        return choose("hybrid", Config({"stores": stores}))


class HybridStateManager(Manager):
    """The same on PostgreSQL with Redis in front of it. The schema is created if it is not there."""

    def __init__(self, config: HybridConfig | None = None) -> None:
        self.config: HybridConfig = config or HybridConfig()
        kept = retention(events_count=self.config.redis_config.stream_maxlen)
        super().__init__(self.config.choice(), kept)

    async def _prepare(self, error: SchemaMismatch) -> Store:
        return await self._with_schema()

    async def set_agent_state(
        self, agent_id: str, state: AgentState | Mapping[str, Any], ttl: Duration | None = None
    ) -> bool:
        """As that of all managers; no ttl is the `default_ttl` of the Redis configuration."""
        kept = self.config.redis_config.default_ttl if ttl is None else ttl
        return await super().set_agent_state(agent_id, state, kept)

    async def health_check(self) -> dict[str, Any]:
        """As that of all managers, with what is known of each part: `postgresql` (`database_connected`, and
        its connections `in_use` and `idle`), `redis` (`redis_connected`, `used_memory` and `max_memory` in
        bytes) and `performance` (`cache_hit_ratio`, 0 to 1). None: not known, or without bound."""
        told = await super().health_check()
        stats = await (await self._store()).stats() if told["error"] is None else None
        return told | _parts(stats)


def _parts(stats: Stats | None) -> dict[str, dict[str, Any]]:
    pool = stats.pools.get("postgresql") if stats else None
    memory = stats.memory.get("redis") if stats else None
    cache = stats.cache if stats else None
    return {
        "postgresql": {
            "database_connected": stats is not None,
            "in_use": pool.in_use if pool else None,
            "idle": pool.idle if pool else None,
        },
        "redis": {
            "redis_connected": cache.connected if cache else None,
            "used_memory": memory.used if memory else None,
            "max_memory": memory.most if memory else None,
        },
        "performance": {"cache_hit_ratio": cache.hit_ratio if cache else None},
    }
