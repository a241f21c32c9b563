"""What of a Redis server may be wrong for a store: for `hive-state doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from hive_state_core.features import Durability
from hive_state_core.spi import Finding
from hive_state_redis.durability import LEAST_VERSION, evicts, judged
from hive_state_redis.facts import Facts
from hive_state_redis.options import RedisOptions

MEMORY_SHARE = 0.8
"""Of maxmemory: from here on it is time to act."""
_LOCAL = ("localhost", "127.0.0.1", "::1")


def examine(facts: Facts, options: RedisOptions) -> list[Finding]:
    return [
        *_server(facts),
        *_tls(options),
        _durability(facts, options),
        *_memory(facts, options),
        *_clients(facts, options),
    ]


def _server(facts: Facts) -> Iterator[Finding]:
    if facts.product is None:
        mend = "grant +info"
        yield Finding(name="server", status="warn", sentence="the server tells nothing of itself", mend=mend)
        return
    old = facts.version is not None and facts.version < LEAST_VERSION
    need = "Redis 7 or Valkey is needed" if old else None
    yield Finding(name="server", status="fail" if old else "ok", sentence=facts.product, mend=need)
    if facts.primary is False:
        mend = "name the primary, or the sentinels: redis+sentinel://host1,host2/master"
        yield Finding(name="standby", status="fail", sentence="the server takes no writes", mend=mend)
    if facts.write_error:
        mend = "see its log, and the room on its disk"
        yield Finding(name="disk", status="fail", sentence="its last write to disk failed", mend=mend)


def _tls(options: RedisOptions) -> Iterator[Finding]:
    remote = any(host not in _LOCAL for host, _ in options.hosts)
    if remote and not options.tls:
        sentence = "the connection to another host is not encrypted"
        yield Finding(name="tls", status="warn", sentence=sentence, mend="write rediss:// for redis://")
    if options.tls and options.ssl_cert_reqs == "none":
        sentence = "the server's certificate is not checked"
        yield Finding(
            name="tls", status="warn", sentence=sentence, mend="give ssl_ca_certs, not ssl_cert_reqs=none"
        )


def _durability(facts: Facts, options: RedisOptions) -> Finding:
    level, why, mend = judged(facts, options)
    if level >= Durability.FSYNC:
        return Finding(name="durability", status="ok", sentence=why)
    return Finding(name="durability", status="warn", sentence=why, mend=mend)


def _memory(facts: Facts, options: RedisOptions) -> Iterator[Finding]:
    used, most = facts.used_memory, facts.max_memory
    if facts.policy not in (None, "noeviction"):
        when = "" if evicts(facts) else ", once maxmemory is set"
        yield Finding(
            name="eviction",
            status="fail" if evicts(facts) and not options.allow_eviction else "warn",
            sentence=f"maxmemory-policy is {facts.policy}: keys are forgotten to make room{when}",
            mend="set maxmemory-policy noeviction",
        )
    if used is None or most is None:
        return
    if not most:
        mend = "set maxmemory, below what the machine has"
        yield Finding(name="memory", status="warn", sentence="maxmemory is not set", mend=mend)
        return
    sentence = f"{_megabytes(used)} of {_megabytes(most)} are used"
    if used < MEMORY_SHARE * most:
        yield Finding(name="memory", status="ok", sentence=sentence)
    else:
        mend = "raise maxmemory, or keep less: see [retention]"
        yield Finding(name="memory", status="warn", sentence=sentence, mend=mend)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _clients(facts: Facts, options: RedisOptions) -> Iterator[Finding]:
    if facts.clients is None or facts.max_clients is None:
        return
    sentence = (
        f"{facts.clients} of {facts.max_clients} connections are taken; each process of ours takes up to"
        f" {options.max_connections + 1}"
    )
    if facts.max_clients - facts.clients > options.max_connections:
        yield Finding(name="connections", status="ok", sentence=sentence)
    else:
        mend = "lower max_connections in the URL, or raise maxclients on the server"
        yield Finding(name="connections", status="warn", sentence=sentence, mend=mend)
