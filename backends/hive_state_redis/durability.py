"""What an acknowledged write survives on a server, by its own settings; and whether it may forget state."""

from __future__ import annotations

import logging
from typing import NamedTuple

from hive_state_core.errors import ConfigError
from hive_state_core.features import Durability
from hive_state_redis.facts import Facts
from hive_state_redis.options import RedisOptions

LEAST_VERSION = (7, 0)

log = logging.getLogger(__name__)


class Judgement(NamedTuple):
    """The level that is sure, what it is told from, and what to do for a higher one."""

    level: Durability
    why: str
    mend: str | None = None


def judged(facts: Facts, options: RedisOptions) -> Judgement:
    """Never more than FSYNC: Redis confirms a write before any replica has it."""
    if facts.appends is None:
        return Judgement(
            Durability.VOLATILE,
            "the server does not say whether it writes to its disk, as the user may not call INFO",
            "grant +info and +config|get to the user",
        )
    if not facts.appends:
        return _without_log(facts)
    if facts.fsync != "always":
        return _not_synced(facts)
    if options.layout in ("sentinel", "cluster") or facts.replicas:
        return Judgement(
            Durability.PROCESS,
            "appendfsync is always, but a fail-over to a replica loses the writes that it has not got yet",
            "set min-replicas-to-write and min-replicas-max-lag, which bound what is lost",
        )
    return Judgement(Durability.FSYNC, "appendonly is yes, and appendfsync is always")


def _without_log(facts: Facts) -> Judgement:
    snapshots = "" if facts.saves == "" else "; a snapshot loses what came after it"
    return Judgement(
        Durability.VOLATILE,
        f"appendonly is no: what was written ends with the server{snapshots}",
        "set appendonly yes, and appendfsync always",
    )


def _not_synced(facts: Facts) -> Judgement:
    losses = {
        "everysec": "a power cut loses about a second, and a kill while the disk is busy up to two",
        "no": "a power cut loses what the system had not written yet",
        None: "when the log is synced is not known, as the user may not call CONFIG",
    }
    said = f"appendfsync is {facts.fsync}: " if facts.fsync else ""
    mend = "set appendfsync always, if that must not be" if facts.fsync else "grant +config|get to the user"
    return Judgement(
        Durability.PROCESS, f"appendonly is yes, {said}{losses.get(facts.fsync, 'unknown')}", mend
    )


def check(facts: Facts, options: RedisOptions) -> None:
    """Raises ConfigError if the server is too old for us, or may evict state to make room."""
    place = options.place
    if facts.version is not None and facts.version < LEAST_VERSION:
        raise ConfigError(f"the server at {place} is {facts.product}; Redis 7 or Valkey is needed")
    if evicts(facts) and not options.allow_eviction:
        raise ConfigError(
            f"Redis at {place} evicts keys when its memory is full (maxmemory-policy is {facts.policy}), and"
            " a hive would lose state without a word; set maxmemory-policy noeviction, or add"
            " ?allow_eviction=true to the URL"
        )


def evicts(facts: Facts) -> bool:
    """Whether it makes room by forgetting keys. One whose memory has no bound has no need to."""
    return bool(facts.max_memory) and facts.policy not in (None, "noeviction")


def warnings(facts: Facts, options: RedisOptions) -> tuple[str, ...]:
    """What the users of a store should know of its server, in whole sentences."""
    level, why, mend = judged(facts, options)
    found = []
    if level < Durability.FSYNC:
        hint = f" ({mend})" if mend else ""
        found.append(f"Redis at {options.place} keeps writes {level.name.lower()}: {why}{hint}")
    if evicts(facts):
        found.append(f"Redis at {options.place} may evict state: maxmemory-policy is {facts.policy}")
    if facts.policy is None:
        found.append(f"Redis at {options.place} does not say whether it evicts keys")
    return tuple(found)


def warn(facts: Facts, options: RedisOptions) -> None:
    """Log these, once a store is opened."""
    for warning in warnings(facts, options):
        log.warning("%s", warning)
