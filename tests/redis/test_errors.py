"""Each error's kind and sentence, by real servers where they can be made to say it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import hiredis
import pytest

from hive_state_core.cli.frame import EXIT, verdict
from hive_state_core.embedded import Server
from hive_state_core.embedded.valkey import SOCKET
from hive_state_core.errors import (
    AccessDenied,
    ConfigError,
    HiveStateError,
    NotPrimary,
    StoreFull,
    Unavailable,
)
from hive_state_core.url import StoreURL, parse_url
from hive_state_redis.connecting import Link, Script, connect
from hive_state_redis.errors import call_error
from hive_state_redis.options import RedisOptions, parse_options

OptionsOf: TypeAlias = Callable[..., RedisOptions]
PUT = Script("return redis.call('SET', KEYS[1], ARGV[1])")


@pytest.fixture
async def own(server: Server, options_of: OptionsOf) -> AsyncIterator[Link]:
    """To a server whose settings may be changed."""
    link = await connect(options_of(server), b"x")
    yield link
    await link.close()


async def refusal(url: StoreURL, exit: EXIT) -> str:
    """Why it cannot be connected to: the sentence."""
    with pytest.raises(HiveStateError) as caught:
        await connect(parse_options(url), b"x")
    assert caught.value.applied == "no"
    assert verdict(caught.value).exit == exit
    return str(caught.value)


async def test_a_login_that_is_refused(own: Link, server: Server) -> None:
    await own.call("ACL", "SETUSER", "off", "off", ">right", "~*", "+@all")
    url = parse_url(server.url)
    wrong = [
        url.replaced(password="wrong"),
        url.replaced(username="nobody"),
        url.replaced(username="off", password="right"),
    ]
    for each in wrong:
        assert "user or password is wrong" in await refusal(each, EXIT.PRECONDITION)
    assert "asks for a password, and the URL has none" in await refusal(
        url.replaced(password=None), EXIT.PRECONDITION
    )
    await own.call("ACL", "SETUSER", "default", "nopass")
    sentence = await refusal(url.replaced(password="needless"), EXIT.PRECONDITION)
    assert "asks for no password, and the URL has one" in sentence


async def test_a_user_without_rights(own: Link, server: Server) -> None:
    rights = ["~{mine}*", "+@all", "-get", "-client", "-ping", "-role"]
    await own.call("ACL", "SETUSER", "some", "on", ">pass", *rights)
    options = parse_options(parse_url(server.url).replaced(username="some", password="pass"))
    link = await connect(options, b"x")
    assert await link.call("SET", "{mine}", 1) == b"OK"
    for call in (
        lambda: link.call("GET", "{mine}"),
        lambda: link.call("SET", "theirs", "secret"),
        lambda: link.script(PUT, [b"theirs"], [b"secret"]),
        lambda: link.script(Script("return redis.call('GET', '{mine}')"), []),
        lambda: link.script(Script("return redis.call('SET', 'theirs', 'secret')"), []),
    ):
        with pytest.raises(AccessDenied, match=r"the user lacks a right; .* needs .* ~\{hive:\* ") as denied:
            await call()
        assert "secret" not in str(denied.value)
    await link.close()


async def test_places_where_no_server_is(shared_server: Server) -> None:
    url = parse_url(shared_server.url)
    assert "nothing listens there" in await refusal(url.replaced(port=1), EXIT.UNREACHABLE)
    assert "there is no such socket" in await refusal(parse_url("redis+unix:///nowhere/x"), EXIT.UNREACHABLE)
    named = await refusal(url.replaced(host="no-such-host.invalid"), EXIT.UNREACHABLE)
    assert named.startswith("cannot connect to Redis at no-such-host.invalid:")
    assert "no database of this number" in await refusal(url.replaced(path="/99"), EXIT.USAGE)
    cluster = url.replaced(scheme="redis+cluster", path="")
    assert "is no node of a cluster; write redis://" in await refusal(cluster, EXIT.USAGE)
    tls = url.replaced(scheme="rediss", options={"connect_timeout": "300ms"})
    assert "no answer in time" in await refusal(tls, EXIT.UNREACHABLE)


@pytest.mark.parametrize("at_once", [True, False])
async def test_no_connection_is_left(at_once: bool) -> None:
    """A server that is full says so before it was asked, and hangs up."""

    async def full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not at_once:
            await reader.readuntil(b"hive-state\r\n")
        writer.write(b"-ERR max number of clients reached\r\n")
        await writer.drain()
        if at_once:
            await reader.read(1)
        writer.close()

    async with await asyncio.start_server(full, "127.0.0.1", 0) as stand_in:
        port = stand_in.sockets[0].getsockname()[1]
        sentence = await refusal(parse_url(f"redis://127.0.0.1:{port}"), EXIT.UNREACHABLE)
    assert "has no connection left (maxclients)" in sentence


async def test_a_unix_socket(link: Link, shared_server: Server) -> None:
    assert shared_server.socket_directory
    path = str(shared_server.socket_directory / SOCKET)
    url = parse_url(shared_server.url).replaced(scheme="redis+unix", host=None, port=None, path=path)
    by_socket = await connect(parse_options(url), b"x")
    await by_socket.call("SET", "by-socket", 1)
    await by_socket.close()
    assert await link.call("GET", "by-socket") == b"1"


async def test_no_memory_is_left_for_a_write_and_reads_go_on(own: Link) -> None:
    await own.call("SET", "k", "v")
    await own.call("CONFIG", "SET", "maxmemory", "1")
    for call in (own.call("SET", "k", "w"), own.script(PUT, [b"k"], [b"w"])):
        with pytest.raises(StoreFull, match=r"no memory left \(maxmemory\)") as full:
            await call
        assert verdict(full.value).exit == EXIT.PRECONDITION
    assert await own.call("GET", "k", reads=True) == b"v"
    await own.call("CONFIG", "SET", "maxmemory", "0")
    assert await own.script(PUT, [b"k"], [b"w"]) == b"OK"


async def test_a_replica_takes_no_writes(own: Link) -> None:
    await own.call("REPLICAOF", "127.0.0.1", "1")
    for call in (own.call("SET", "k", "w"), own.script(PUT, [b"k"], [b"w"])):
        with pytest.raises(NotPrimary, match="takes no writes: it is a replica") as caught:
            await call
        assert caught.value.applied == "no"
    await own.call("REPLICAOF", "NO", "ONE")
    assert await own.call("SET", "k", "w") == b"OK"


async def test_too_few_replicas(own: Link) -> None:
    await own.call("CONFIG", "SET", "min-replicas-to-write", 1)
    with pytest.raises(Unavailable, match="fewer replicas than min-replicas-to-write"):
        await own.script(PUT, [b"k"], [b"w"])


async def test_somebody_elses_script_that_does_not_end(
    own: Link, server: Server, options_of: OptionsOf
) -> None:
    await own.call("CONFIG", "SET", "busy-reply-threshold", 10)
    other = await connect(options_of(server), b"x")
    endless = asyncio.create_task(other.call("EVAL", "while true do end", 0))
    await asyncio.sleep(0.3)
    with pytest.raises(Unavailable, match="busy with a script of somebody else; see SCRIPT KILL"):
        await own.call("SET", "k", "w")
    await own.call("SCRIPT", "KILL")
    with pytest.raises(HiveStateError):
        await endless
    assert await own.call("SET", "k", "w") == b"OK"
    await other.close()


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        ("LOADING Redis is loading the dataset in memory", Unavailable, "is loading its data"),
        ("MASTERDOWN Link with MASTER is down", Unavailable, "has lost its primary"),
        ("CLUSTERDOWN The cluster is down", Unavailable, "a cluster that is down"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Unavailable, "try again"),
        ("MOVED 3999 127.0.0.1:6381", ConfigError, "write redis.cluster://"),
        ("DENIED Redis is running in protected mode because", AccessDenied, "is in protected mode"),
        ("MISCONF Errors writing to the AOF file: No space left on device", StoreFull, "write to its disk"),
        ("ERR user_script:1: x: 'secret'", HiveStateError, r"unforeseen error \(ERR\)"),
    ],
)
def test_what_a_server_seldom_says(text: str, kind: type[HiveStateError], sentence: str) -> None:
    error = call_error(hiredis.ReplyError(text), "h:6379")
    assert isinstance(error, kind)
    assert error.applied == "no"
    with pytest.raises(kind, match=f"Redis at h:6379 .*{sentence}"):
        raise error
    assert "secret" not in str(error)
