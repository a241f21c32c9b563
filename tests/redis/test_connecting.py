"""Calls over a few connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from hive_state_core.embedded import Server
from hive_state_core.errors import Closed, Indeterminate, Internal, Unavailable
from hive_state_core.url import parse_url
from hive_state_redis.connecting import Link, Script, connect
from hive_state_redis.options import RedisOptions, parse_options
from hive_state_redis.wire import Wire, _Asked

OptionsOf: TypeAlias = Callable[..., RedisOptions]
ECHO = Script("return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}")


async def test_bytes_come_back_as_they_went(link: Link) -> None:
    value = bytes(range(256)) * 3
    assert await link.call("SET", "bytes", value) == b"OK"
    assert await link.call("GET", b"bytes", reads=True) == value
    assert await link.call("GET", "missing", reads=True) is None
    assert await link.many([("SET", "n", 41), ("INCR", "n"), ("GET", "n")]) == [b"OK", 42, b"42"]
    assert await link.many([]) == []


async def test_a_script_is_sent_again_to_a_server_that_does_not_know_it(link: Link) -> None:
    await link.call("DEL", "echo")
    assert await link.script(ECHO, [b"echo"], [b"\x00"]) == [b"echo", b"\x00", 1]
    await link.call("SCRIPT", "FLUSH")
    assert await link.script(ECHO, [b"echo"], ["b"]) == [b"echo", b"b", 2]
    await link.call("SCRIPT", "FLUSH")
    replies = await asyncio.gather(*(link.script(ECHO, [b"echo"], [n]) for n in range(50)))
    assert [reply[1] for reply in replies] == [str(n).encode() for n in range(50)]
    assert await link.call("GET", "echo") == b"52"


async def test_no_more_connections_than_said_whatever_is_under_way(
    shared_server: Server, options_of: OptionsOf
) -> None:
    link = await connect(options_of(shared_server, max_connections=3, client_name="bounded"), b"x")
    await asyncio.gather(*(link.call("PING") for _ in range(200)))
    listed = (await link.call("CLIENT", "LIST")).decode()
    assert listed.count("name=bounded ") == 3
    assert (link.stats().idle, link.stats().most) == (3, 3)
    await link.close()
    with pytest.raises(Closed):
        await link.call("PING")


async def test_each_caller_gets_its_own_answer_though_others_are_cancelled(
    shared_server: Server, options_of: OptionsOf
) -> None:
    link = await connect(options_of(shared_server, max_connections=2), b"x")
    tasks = [asyncio.create_task(link.call("ECHO", n)) for n in range(100)]
    for step, task in enumerate(tasks):
        if step % 3 == 0:
            task.cancel()
        await asyncio.sleep(0)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    for n, answer in enumerate(found):
        assert answer == str(n).encode() or isinstance(answer, asyncio.CancelledError)
    assert found.count(found[1]) == 1
    assert await link.call("ECHO", "last") == b"last"
    await link.close()


async def test_a_caller_that_is_cancelled_while_it_is_answered_disturbs_nobody() -> None:
    """As by Ctrl-C, whose handler runs between any two steps of the program."""

    class Interrupted(asyncio.Future[Any]):
        def done(self) -> bool:
            before = super().done()
            self.cancel()
            return before

    wire = Wire(1.0)
    other: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    wire._asked.extend(_Asked(answer, 1, 0.0) for answer in (Interrupted(), other))
    wire.data_received(b"+one\r\n+two\r\n")
    assert await other == [b"two"]


async def test_a_server_that_is_killed_and_started(server: Server, options_of: OptionsOf) -> None:
    link = await connect(options_of(server), b"x")
    await link.call("SET", "k", "v")
    await asyncio.to_thread(server.kill)
    with pytest.raises(Unavailable, match="nothing listens there; is the server running") as refused:
        await link.call("SET", "k", "w")
    assert refused.value.applied == "no"
    with pytest.raises(Unavailable):
        await link.call("GET", "k", reads=True)
    await asyncio.to_thread(server.start)
    assert await link.call("GET", "k", reads=True) == b"v"
    await link.close()


async def test_a_call_under_way_when_the_server_is_killed(server: Server, options_of: OptionsOf) -> None:
    link = await connect(options_of(server, max_connections=2), b"x")
    await link.call("CLIENT", "PAUSE", 60_000, "WRITE")
    write = asyncio.create_task(link.call("SET", "k", "w"))
    await asyncio.sleep(0.05)
    assert link.stats().in_use == 1
    await asyncio.to_thread(server.kill)
    with pytest.raises(Indeterminate, match="broke the connection, and did not say") as unknown:
        await write
    assert unknown.value.applied == "unknown"
    await link.close()


async def test_a_server_that_does_not_answer(server: Server, options_of: OptionsOf) -> None:
    options = options_of(server, command_timeout="300ms", connect_timeout="300ms", max_connections=2)
    link = await connect(options, b"x")
    await link.call("CLIENT", "PAUSE", 60_000)
    with pytest.raises(Indeterminate, match="did not answer in command_timeout"):
        await link.call("SET", "k", "w")
    with pytest.raises(Unavailable, match="no answer in time"):  # a new connection is not served, either
        await link.call("GET", "k", reads=True)
    await link.close()


@pytest.mark.parametrize("reads", [True, False])
async def test_a_read_is_repeated_over_a_new_connection_and_a_write_is_not(reads: bool) -> None:
    connections = 0

    async def breaks_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"hive-state\r\n")  # the end of the greeting
        writer.write(b"+PONG\r\n+OK\r\n")
        await reader.readuntil(b"k\r\n")
        if connections > 1:
            writer.write(b"$5\r\nvalue\r\n")
        writer.close()

    async with await asyncio.start_server(breaks_the_first, "127.0.0.1", 0) as stand_in:
        port = stand_in.sockets[0].getsockname()[1]
        link = await connect(parse_options(parse_url(f"redis://127.0.0.1:{port}")), b"x")
        if reads:
            assert await link.call("GET", "k", reads=True) == b"value"
        else:
            with pytest.raises(Indeterminate):
                await link.call("GETDEL", "k")
        assert connections == (2 if reads else 1)
        await link.close()


async def test_what_speaks_another_protocol() -> None:
    async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speaks_http, "127.0.0.1", 0) as stand_in:
        port = stand_in.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match="is it no Redis"):
            await connect(parse_options(parse_url(f"redis://127.0.0.1:{port}")), b"x")


async def test_messages_are_heard_until_the_connection_breaks(link: Link) -> None:
    heard: list[bytes | None] = []
    wire = await link.listen(b"news", heard.append)
    await link.call("PUBLISH", "news", b"\x00one")
    await link.call("PUBLISH", "olds", b"two")
    await link.call("PUBLISH", "news", b"three")
    await asyncio.sleep(0.05)
    assert heard == [b"\x00one", b"three"]
    await wire.close()
    assert heard[2:] == [None]
    await link.listen(b"news", heard.append)
    await link.close()
    assert heard[3:] == [None]


async def test_an_error_of_one_among_many_is_raised_when_all_are_done(link: Link) -> None:
    await link.call("DEL", "list", "after")
    await link.call("RPUSH", "list", 1)
    with pytest.raises(Internal, match=r"unforeseen error \(WRONGTYPE\)"):
        await link.many([("GET", "list"), ("SET", "after", 1)])
    assert await link.call("GET", "after") == b"1"


async def test_no_value_is_in_an_error(link: Link) -> None:
    for command in (("NOSUCHCOMMAND", "my-secret"), ("SET", "k", "v", "my-secret"), ("EVAL", "my-secret", 0)):
        with pytest.raises(Internal) as caught:
            await link.call(*command)
        assert "secret" not in str(caught.value)
