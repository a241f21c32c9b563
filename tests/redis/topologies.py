"""Servers that find one another: a primary with a replica and a sentinel, or a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis

from hive_state_core.embedded import Server, valkey_server
from hive_state_core.embedded.process import Supervised
from hive_state_core.embedded.server import free_port
from hive_state_core.embedded.sources import Programs, account, choose
from hive_state_core.embedded.valkey_programs import VALKEY
from hive_state_core.url import parse_url

USER, PASSWORD = "hive", "pass"
LOGIN = {"user": f"{USER} on >{PASSWORD} ~* &* +@all", "masteruser": USER, "masterauth": PASSWORD}
"""Known to all servers, as each has a password of its own besides."""


def port_of(server: Server) -> int:
    port = parse_url(server.url).port
    assert port
    return port


def ask(server: Server, *command: str | int) -> Any:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.execute_command(*command)


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.02)


class Watched(NamedTuple):
    """`url` is that of the sentinel, for the driver."""

    primary: Server
    replica: Server
    url: str


@contextmanager
def watched() -> Iterator[Watched]:
    """A primary, a replica that has all of it, and a sentinel that is quick to act."""
    with ExitStack() as stack:
        settings = {**LOGIN, "repl-diskless-sync-delay": "0", "shutdown-timeout": "0"}
        primary = stack.enter_context(valkey_server(settings=settings))
        followed = {**settings, "replicaof": f"127.0.0.1 {port_of(primary)}"}
        replica = stack.enter_context(valkey_server(settings=followed))
        wait_until(lambda: "master_link_status:up" in _text(ask(replica, "INFO", "replication")))
        port = stack.enter_context(_sentinel(port_of(primary)))
        yield Watched(primary, replica, f"redis+sentinel://{USER}:{PASSWORD}@127.0.0.1:{port}/main")


@contextmanager
def _sentinel(primary: int) -> Iterator[int]:
    supervised, port = Supervised("hive-state-sentinel-", account()), free_port()
    try:
        supervised.open()
        folder = supervised.folder("data")
        lines = [
            "bind 127.0.0.1",
            f"port {port}",
            f'dir "{folder}"',
            f"sentinel monitor main 127.0.0.1 {primary} 1",
            f"sentinel auth-user main {USER}",
            f"sentinel auth-pass main {PASSWORD}",
            "sentinel down-after-milliseconds main 300",
            "sentinel failover-timeout main 1000",
        ]
        config = supervised.write("data/sentinel.conf", "\n".join(lines) + "\n")
        argv = [str(_program(supervised)), str(config), "--sentinel"]
        supervised.ask("spawn", argv=argv, quit=15)
        with redis.Redis(port=port, decode_responses=True) as client:
            wait_until(lambda: _knows_a_replica(client))
        yield port
    finally:
        supervised.close()


def _program(supervised: Supervised) -> Path:
    """A copy, if there can be one: the account need not reach the wheel."""
    program = choose(VALKEY)
    assert isinstance(program, Programs)
    if not program.parts:
        return program.server
    return supervised.copy(program.root, program.parts, ()) / program.server.relative_to(program.root)


def _knows_a_replica(sentinel: redis.Redis) -> bool:
    try:
        (state,) = sentinel.sentinel_masters().values()
    except redis.ConnectionError:
        return False
    return bool(state["num-slaves"] == 1)


def _text(info: Any) -> str:
    return "\n".join(f"{name}:{value}" for name, value in info.items()) if isinstance(info, dict) else info


@contextmanager
def cluster(size: int) -> Iterator[list[Server]]:
    """Nodes that share out all slots evenly."""
    settings = {**LOGIN, "cluster-enabled": "yes", "cluster-node-timeout": "2000"}
    with ExitStack() as stack:
        nodes = [stack.enter_context(valkey_server(settings=settings)) for _ in range(size)]
        share = 16384 // size + 1
        for place, node in enumerate(nodes):
            last = min(16383, (place + 1) * share - 1)
            ask(node, "CLUSTER", "ADDSLOTSRANGE", place * share, last)
            ask(nodes[0], "CLUSTER", "MEET", "127.0.0.1", port_of(node))
        wait_until(lambda: all(_sees_all(node, size) for node in nodes))
        yield nodes


def _sees_all(node: Server, size: int) -> bool:
    told = _text(ask(node, "CLUSTER", "INFO"))
    return "cluster_state:ok" in told and f"cluster_size:{size}" in told


def cluster_url(*nodes: Server) -> str:
    hosts = ",".join(f"127.0.0.1:{port_of(node)}" for node in nodes)
    return f"redis+cluster://{USER}:{PASSWORD}@{hosts}"
