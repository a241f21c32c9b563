"""A Valkey, or Redis, of our own, from each source that is installed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hive_state_core.embedded import Server, valkey_server
from hive_state_core.embedded import server as servers
from hive_state_core.embedded.sources import Programs, choose
from hive_state_core.embedded.valkey import SOCKET
from hive_state_core.embedded.valkey_programs import VALKEY
from hive_state_core.errors import ConfigError
from hive_state_core.url import parse_url

from .leftovers import Hold, wait_until


@pytest.fixture(params=["wheel", "path"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each source that is installed here."""
    chosen: str = request.param
    if (VALKEY.wheel if chosen == "wheel" else VALKEY.path)() is None:
        pytest.skip(f"no Valkey from the source {chosen!r} here")
    monkeypatch.setenv(VALKEY.force_setting, chosen)
    return chosen


@pytest.fixture
def any_source() -> None:
    if VALKEY.wheel() is None and VALKEY.path() is None:
        pytest.skip("no Valkey here: pip install 'hive-state[embedded]'")


def ask(server: Server, *commands: str, unix: bool = False, password: str | None = None) -> list[str]:
    """The first lines of the replies, those to AUTH first."""
    url = parse_url(server.url)
    made: list[str] = []
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as connection:
        connection.settimeout(10)
        connection.connect(str(server.socket_directory / SOCKET) if unix else (url.host, url.port))  # type: ignore[operator]
        with connection.makefile("rwb", buffering=0) as stream:
            for command in (f"AUTH {password or url.password}", *commands):
                stream.write(f"{command}\r\n".encode())
                reply = stream.readline().decode().strip()
                made.append(stream.readline().decode().strip() if reply.startswith("$") else reply)
    return made


async def test_it_is_as_promised_and_then_gone(source: str, place: Path) -> None:
    async with valkey_server(settings={"maxmemory": "17mb"}) as server:
        assert server.source == source
        assert server.version is not None
        assert int(server.version.partition(".")[0]) >= 7
        for unix in (False, True):
            assert ask(server, "PING", unix=unix) == ["+OK", "+PONG"]
            assert ask(server, "PING", unix=unix, password="x")[0].startswith("-WRONGPASS")
        lines = ask(server, "INFO memory")
        assert lines[0] == "+OK"
        password = parse_url(server.url).password
        assert password
        assert password not in repr(server)
        assert server.socket_directory
        path = parse_url(server.socket_url)
        assert (path.scheme, path.password) == ("redis+unix", password)
        processes = Path(f"/proc/{server.pid}/cmdline")
        assert not processes.exists() or password not in processes.read_text()
    assert list(place.iterdir()) == []
    with pytest.raises(OSError):
        ask(server, "PING")


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
async def test_what_was_written_is_there_after_a_kill_and_after_a_stop(
    any_source: None, place: Path, fsync: Any
) -> None:
    async with valkey_server(fsync=fsync) as server:
        assert ask(server, "SET answer 42") == ["+OK", "+OK"]
        for end in (server.kill, server.stop):
            before = (server.url, server.pid)
            await asyncio.to_thread(end)
            assert server.pid is None
            with pytest.raises(OSError):
                ask(server, "PING")
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(server.start)  # it runs: nothing happens
            assert server.url == before[0]
            assert server.pid not in (None, before[1])
            assert ask(server, "GET answer")[1] == "42"
    assert list(place.iterdir()) == []


async def test_nothing_is_kept_if_nothing_is_written(any_source: None, place: Path) -> None:
    async with valkey_server(fsync="never written") as server:
        ask(server, "SET answer 42")
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        assert ask(server, "EXISTS answer")[1] == ":0"


async def test_a_port_that_is_taken_meanwhile_is_given_up(
    any_source: None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter([other.getsockname()[1], servers.free_port()])
        monkeypatch.setattr(servers, "free_port", lambda: next(ports))
        async with valkey_server() as server:
            assert ask(server, "PING")[1] == "+PONG"


async def test_a_start_that_fails_shows_the_log(any_source: None, place: Path) -> None:
    with pytest.raises(ConfigError, match=r"ended while it started[^$]*no-such-setting"):
        async with valkey_server(settings={"no-such-setting": "1"}):
            pytest.fail("it started")
    assert list(place.iterdir()) == []


async def test_a_temporary_directory_with_a_long_or_odd_path_does(
    any_source: None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("d" * 100, "a, \"b\" 'c' é\\"):
        folder = place / name
        folder.mkdir(mode=0o755)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        async with valkey_server() as server:
            assert ask(server, "PING", unix=server.socket_directory is not None)[1] == "+PONG"
        assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="it runs as ourselves unless we are root")
async def test_as_root_it_runs_as_nobody(any_source: None, place: Path) -> None:
    async with valkey_server() as server:
        assert server.socket_directory
        config = server.socket_directory.parent / "data" / "valkey.conf"
        assert (config.owner(), config.stat().st_mode & 0o777) == ("nobody", 0o600)
        assert (server.socket_directory / SOCKET).owner() == "nobody"


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_ends_leaves_nothing(any_source: None, hold: Hold, by: signal.Signals) -> None:
    holder = hold("valkey")
    _, directory = holder.says()
    assert Path(directory).is_dir()
    holder.ends(by)
    assert wait_until(lambda: not Path(directory).exists())


@pytest.mark.parametrize("name", ["port", "RequirePass", "appendonly"])
def test_settings_that_are_chosen_here_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name.lower()):
        valkey_server(settings={name: "1"})


def test_a_setting_cannot_smuggle_in_another() -> None:
    with pytest.raises(ConfigError, match="one line"):
        valkey_server(settings={"maxmemory": "1mb\nrequirepass x"})


def test_no_source_says_what_to_install() -> None:
    kind = VALKEY._replace(wheel=lambda: None, path=lambda: None)
    with pytest.raises(ConfigError, match=r"no Valkey .* pip install 'hive-state\[embedded\]'"):
        choose(kind, {})


def test_a_program_that_is_too_old_is_refused(
    any_source: None, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    old = place / "valkey-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.5 sha=00000000:0 malloc=libc'\n")
    old.chmod(0o755)
    kind = VALKEY._replace(wheel=lambda: None, path=lambda: Programs("path", old, place))
    monkeypatch.setattr(valkey_server, "kind", kind)
    with pytest.raises(ConfigError, match="version 7 or newer is needed"), valkey_server():
        pytest.fail("it started")
