"""What a server tells of itself; None where it does not tell, as to a user without the right to ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from hive_state_core.errors import AccessDenied, Internal
from hive_state_redis.connecting import Link

_SECTIONS = ("server", "clients", "memory", "persistence", "replication", "cluster")
_SETTINGS = ("appendfsync", "save", "min-replicas-to-write", "maxclients")

Told: TypeAlias = Mapping[str, str]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """product      Redis or Valkey, with its version
    version      of Redis, whose commands it has
    primary      it is no replica
    replicas     that are connected to it
    wants        how many of them must be, for it to take writes
    policy       what is evicted when max_memory is reached; max_memory 0 is no bound
    appends      it writes a log of all writes
    fsync        when the log is synced to disk: always, everysec or no
    saves        when it writes a snapshot, empty is never
    write_error  the last write to its disk failed
    """

    product: str | None
    version: tuple[int, ...] | None
    primary: bool | None
    clustered: bool | None
    replicas: int | None
    wants: int | None
    used_memory: int | None
    max_memory: int | None
    policy: str | None
    appends: bool | None
    fsync: str | None
    saves: str | None
    write_error: bool | None
    clients: int | None
    max_clients: int | None


async def facts_of(link: Link) -> Facts:
    """Of the server that the link is connected to."""
    info, settings = await _info(link), await _settings(link)
    version = info.get("redis_version")
    product = (
        f"Valkey {info['valkey_version']}" if "valkey_version" in info else version and f"Redis {version}"
    )
    states = [
        info.get(f"{name}_status") for name in ("rdb_last_bgsave", "aof_last_bgrewrite", "aof_last_write")
    ]
    return Facts(
        product=product,
        version=tuple(map(int, version.split("."))) if version else None,
        primary=_is(info, "role", "master"),
        clustered=_is(info, "cluster_enabled", "1"),
        replicas=_number(info, "connected_slaves"),
        wants=_number(settings, "min-replicas-to-write"),
        used_memory=_number(info, "used_memory"),
        max_memory=_number(info, "maxmemory"),
        policy=info.get("maxmemory_policy"),
        appends=_is(info, "aof_enabled", "1"),
        fsync=settings.get("appendfsync"),
        saves=settings.get("save"),
        write_error="err" in states if info else None,
        clients=_number(info, "connected_clients"),
        max_clients=_number(settings, "maxclients") or _number(info, "maxclients"),
    )


async def _info(link: Link) -> Told:
    """Lines such as `used_memory:1024`, below headings."""
    try:
        text: bytes = await link.call("INFO", *_SECTIONS, reads=True)
    except (AccessDenied, Internal):  # a service may have taken the command away
        return {}
    pairs = (line.partition(":") for line in text.decode().splitlines())
    return {name: value for name, colon, value in pairs if colon}


async def _settings(link: Link) -> Told:
    try:
        found: list[bytes] = await link.call("CONFIG", "GET", *_SETTINGS, reads=True)
    except (AccessDenied, Internal):
        return {}
    texts: Iterable[str] = (each.decode() for each in found)
    return dict(zip(texts, texts, strict=True))


def _is(told: Told, name: str, value: str) -> bool | None:
    return told[name] == value if name in told else None


def _number(told: Told, name: str) -> int | None:
    return int(told[name]) if name in told else None
