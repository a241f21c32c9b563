"""The right server is found, and found again: by sentinels, and in a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from hive_state_core.embedded import Server
from hive_state_core.errors import ConfigError, HiveStateError, Unavailable
from hive_state_core.url import parse_url
from hive_state_redis.connecting import Link, Script, connect
from hive_state_redis.dialing import SLOTS, crc_hqx
from hive_state_redis.options import RedisOptions, parse_options
from tests.redis.topologies import Watched, ask, cluster, cluster_url, port_of, watched

INCREMENT = Script("return redis.call('INCR', KEYS[1])")


def options_of(url: str) -> RedisOptions:
    return parse_options(parse_url(url))


async def port_behind(link: Link) -> int:
    return int((await link.call("CONFIG", "GET", "port"))[1])


# -- sentinels


@pytest.fixture(scope="module")
def trio() -> Iterator[Watched]:
    with watched() as found:
        yield found


async def count_on(link: Link, seconds: float = 15.0) -> tuple[int, list[HiveStateError]]:
    """Count one up, as soon as it can be; the count, and the errors until then."""
    errors: list[HiveStateError] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return await link.script(INCREMENT, [b"{x}n"]), errors
        except HiveStateError as error:
            errors.append(error)
        await asyncio.sleep(0.05)
    raise AssertionError(f"no fail-over in {seconds:.0f} s: {errors[-1]}")


async def test_a_primary_that_was_demoted_and_one_that_was_killed(trio: Watched) -> None:
    link = await connect(options_of(trio.url), b"x")
    assert await port_behind(link) == port_of(trio.primary)
    assert (await count_on(link))[0] == 1

    ask(trio.primary, "REPLICAOF", "127.0.0.1", port_of(trio.replica))
    for sentence in (
        "takes no writes any more; the next call looks for one",
        "a server that is no primary yet",
    ):
        with pytest.raises(Unavailable, match=sentence):
            await link.script(INCREMENT, [b"{x}n"])
    ask(trio.primary, "REPLICAOF", "NO", "ONE")
    assert (await count_on(link))[0] == 2

    await until_replicated(link)
    await asyncio.to_thread(trio.primary.kill)
    count, errors = await count_on(link)
    assert errors
    assert all(error.retryable for error in errors)
    assert count == 3  # the script is not known there: it was sent again
    assert await port_behind(link) == port_of(trio.replica)
    await link.close()


async def until_replicated(link: Link) -> None:
    async with asyncio.timeout(15):
        while await link.call("WAIT", 1, 1000) != 1:
            await asyncio.sleep(0.05)


async def test_sentinels_that_do_not_help(trio: Watched) -> None:
    with pytest.raises(ConfigError, match=r"the sentinel at 127\.0\.0\.1:\d+ knows no master 'other'"):
        await connect(options_of(trio.url.removesuffix("main") + "other"), b"x")
    with pytest.raises(
        Unavailable, match=r"none of the sentinels of main of .*:1,.*:2 can be used; .*nothing listens"
    ):
        await connect(options_of("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main"), b"x")
    beside = trio.url.replace("@", "@127.0.0.1:1,")  # one that is down
    link = await connect(options_of(beside), b"x")
    assert await link.call("PING") == b"PONG"
    await link.close()


# -- a cluster


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Server]]:
    with cluster(3) as found:
        yield found


async def linked(tag: bytes, *nodes: Server) -> Link:
    return await connect(options_of(cluster_url(*nodes)), tag)


def owner_of(nodes: list[Server], tag: bytes) -> Server:
    return nodes[crc_hqx(tag, 0) % SLOTS // (SLOTS // len(nodes) + 1)]


async def test_each_namespace_is_served_by_the_node_that_has_its_slot(nodes: list[Server]) -> None:
    tags = [f"hive:{n}".encode() for n in range(12)]
    served = set()
    for tag in tags:
        link = await linked(tag, nodes[0])  # one is enough to find the others
        assert await port_behind(link) == port_of(owner_of(nodes, tag))
        assert await link.script(INCREMENT, [b"{%b}n" % tag]) == 1
        assert await link.many([("SET", b"{%b}a" % tag, 1), ("GET", b"{%b}a" % tag)]) == [b"OK", b"1"]
        served.add(await port_behind(link))
        await link.close()
    assert served == {port_of(node) for node in nodes}


async def test_a_slot_that_has_moved_is_followed(nodes: list[Server]) -> None:
    tag = b"moving"
    slot, source = crc_hqx(tag, 0) % SLOTS, owner_of(nodes, tag)
    target = next(node for node in nodes if node is not source)
    ids = {node: ask(node, "CLUSTER", "MYID") for node in nodes}
    link = await linked(tag, *nodes)

    def set_slot(*nodes_and_words: tuple[Server, str, Server]) -> None:
        for node, word, other in nodes_and_words:
            ask(node, "CLUSTER", "SETSLOT", slot, word, ids[other])

    set_slot((target, "IMPORTING", source), (source, "MIGRATING", target))
    assert await link.script(INCREMENT, [b"{moving}n"]) == 1  # asked for at the target
    assert await link.many([("INCR", "{moving}n"), ("GET", "{moving}n")]) == [2, b"2"]
    assert await port_behind(link) == port_of(source)
    set_slot(*((node, "NODE", target) for node in nodes))
    assert await link.script(INCREMENT, [b"{moving}n"]) == 3
    assert await port_behind(link) == port_of(target)
    await link.close()


async def test_nodes_that_are_down_or_strange(nodes: list[Server]) -> None:
    url = cluster_url(nodes[0]).replace("@", "@127.0.0.1:1,")
    link = await connect(options_of(url), b"x")
    assert await link.call("PING") == b"PONG"
    await link.close()
    plain = parse_options(parse_url(nodes[0].url))
    foreign = next(tag for tag in (b"a", b"b", b"c", b"d") if owner_of(nodes, tag) is not nodes[0])
    link = await connect(plain, foreign)
    with pytest.raises(ConfigError, match=r"is a node of a cluster; write redis\+cluster://"):
        await link.call("SET", b"{%b}" % foreign, 1)
    await link.close()


async def test_a_node_that_is_killed(nodes: list[Server]) -> None:
    link = await linked(b"killed", *nodes)
    owner = owner_of(nodes, b"killed")
    await asyncio.to_thread(owner.kill)
    with pytest.raises(Unavailable):
        await link.call("GET", "{killed}", reads=True)
    await asyncio.to_thread(owner.start)
    async with asyncio.timeout(15):
        while True:
            try:
                assert await link.call("SET", "{killed}", 1) == b"OK"
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    await link.close()
