"""The Redis backend: Redis 7 or newer, or Valkey; needs the extra `redis`.

Registered by the entry point `hive_state`; nothing heavy is imported before a store is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hive_state_core.hookspecs import hookimpl
from hive_state_core.plugins import Backend
from hive_state_redis.options import OPTIONS, SCHEMES

if TYPE_CHECKING:
    from hive_state_core.baselines import Baseline
    from hive_state_core.caching import Cache
    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL


def _connect(url: StoreURL, namespace: str) -> Driver:
    from hive_state_redis.driver import RedisDriver
    from hive_state_redis.options import parse_options

    return RedisDriver(parse_options(url), namespace)


def _baseline(url: StoreURL) -> Baseline:
    from hive_state_redis.baseline import RedisBaseline
    from hive_state_redis.options import parse_options

    return RedisBaseline(parse_options(url))


def _cache(url: StoreURL, namespace: str) -> Cache:
    from hive_state_redis.caching import RedisCache
    from hive_state_redis.options import parse_options

    return RedisCache(parse_options(url), namespace)


@hookimpl
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """`redis` and its kin, see `options`."""
    register(
        Backend(
            name="redis",
            schemes=SCHEMES,
            summary="A Redis (7 or newer) or Valkey server, shared by many machines.",
            connect=_connect,
            baseline=_baseline,
            cache=_cache,
            options=OPTIONS,
            requires=("hiredis",),
            install="pip install 'hive-state[redis]'",
        )
    )
