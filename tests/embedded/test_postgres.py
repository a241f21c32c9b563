"""A PostgreSQL of our own, from each source that is installed."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hive_state_core.embedded import Server, postgres_server
from hive_state_core.embedded import server as servers
from hive_state_core.embedded.postgres_programs import POSTGRES
from hive_state_core.errors import ConfigError, Unavailable
from hive_state_core.url import parse_url

asyncpg = pytest.importorskip("asyncpg")
AS_ROOT = os.geteuid() == 0


@pytest.fixture(params=["wheel", "path"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each source that is installed here."""
    chosen: str = request.param
    if (POSTGRES.wheel if chosen == "wheel" else POSTGRES.path)() is None:
        pytest.skip(f"no PostgreSQL from the source {chosen!r} here")
    monkeypatch.setenv("HIVE_STATE_EMBEDDED_POSTGRES", chosen)
    return chosen


@pytest.fixture
def any_source() -> None:
    if POSTGRES.wheel() is None and POSTGRES.path() is None:
        pytest.skip("no PostgreSQL here: pip install 'hive-state[embedded]'")


async def ask(server: Server, sql: str, unix: bool = False) -> object:
    connection = await asyncpg.connect(server.socket_url if unix else server.url, timeout=10)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_it_is_as_promised_and_then_gone(source: str, place: Path) -> None:
    async with postgres_server(fsync=False, settings={"max_connections": "17"}) as server:
        assert server.source == source
        assert await ask(server, "show server_version") == str(server.version) or source == "path"
        wanted = {"server_encoding": "UTF8", "lc_collate": "C", "data_checksums": "on", "timezone": "UTC"}
        wanted |= {"fsync": "off", "max_connections": "17"}
        names = ", ".join(f"current_setting('{name}', true)" for name in wanted if name != "lc_collate")
        found = await ask(server, f"select array[{names}]")
        assert found == [value for name, value in wanted.items() if name != "lc_collate"]
        assert await ask(server, "select datcollate from pg_database where datname = 'postgres'") == "C"
        url = parse_url(server.url)
        assert url.host == "127.0.0.1"
        assert url.password
        assert url.password not in repr(server)
        assert server.socket_directory
        assert (server.socket_directory / f".s.PGSQL.{url.port}").is_socket()
        assert await ask(server, "select inet_server_addr() is null", unix=True)
        for host in ("127.0.0.1", str(server.socket_directory)):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(
                    host=host, port=url.port, user="hive", password="x", database="postgres"
                )
    assert list(place.iterdir()) == []
    with pytest.raises(OSError):
        await ask(server, "select 1")


async def test_two_run_at_once(any_source: None, place: Path) -> None:
    both_up = asyncio.Barrier(2)

    async def one() -> tuple[object, object]:
        async with postgres_server(fsync=False) as server:
            await both_up.wait()
            return await ask(server, "show data_directory"), await ask(server, "show port")

    first, second = await asyncio.gather(one(), one())
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert list(place.iterdir()) == []


async def test_what_was_committed_is_there_after_a_kill_and_after_a_stop(source: str, place: Path) -> None:
    async with postgres_server() as server:
        await ask(server, "create table t as select 42 as answer")
        for end in (server.kill, server.stop):
            before = (server.url, server.pid)
            open_session = await asyncpg.connect(server.url)
            await asyncio.to_thread(end)
            assert server.pid is None
            with pytest.raises(OSError):
                await ask(server, "select 1")
            with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
                await open_session.fetchval("select 1")
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(server.start)  # it runs: nothing happens
            assert server.url == before[0]
            assert server.pid not in (None, before[1])
            assert await ask(server, "select answer from t") == 42
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.kill)  # it is down: nothing happens
    assert list(place.iterdir()) == []


async def test_a_port_that_is_taken_meanwhile_is_given_up(
    any_source: None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter([other.getsockname()[1], servers.free_port()])
        monkeypatch.setattr(servers, "free_port", lambda: next(ports))
        async with postgres_server(fsync=False) as server:
            assert await ask(server, "select 1") == 1


async def test_a_start_that_fails_shows_the_log(any_source: None, place: Path) -> None:
    with pytest.raises(ConfigError, match=r"ended while it started[^$]*unrecognized .* \"no_such_setting\""):
        async with postgres_server(settings={"no_such_setting": "1"}):
            pytest.fail("it started")
    assert list(place.iterdir()) == []


async def test_a_start_that_takes_too_long_is_given_up(
    any_source: None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres_server(fsync=False) as server:
        await asyncio.to_thread(server.stop)
        monkeypatch.setattr(servers, "STARTUP_SECONDS", 0.0)
        monkeypatch.setattr(type(server), "ready", lambda *_: False)
        with pytest.raises(Unavailable, match="not ready after 0 s; the end of its log"):
            await asyncio.to_thread(server.start)
        monkeypatch.undo()
        await asyncio.to_thread(server.start)
        assert await ask(server, "select 1") == 1


@pytest.mark.parametrize("after", [0.0, 0.2])
async def test_a_start_that_is_cancelled_leaves_nothing(any_source: None, place: Path, after: float) -> None:
    async def hold() -> None:
        async with postgres_server(fsync=False):
            await asyncio.sleep(60)

    task = asyncio.ensure_future(hold())
    await asyncio.sleep(after)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 5
    assert list(place.iterdir()) == []


async def test_a_temporary_directory_with_a_long_path_does(
    any_source: None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = place / ("d" * 100)
    far.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(far))
    async with postgres_server(fsync=False) as server:
        assert server.socket_directory is None
        assert await ask(server, "show unix_socket_directories") == ""
    assert list(far.iterdir()) == []


def test_a_plain_with_does_also_where_a_name_is_odd(
    any_source: None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = place / "a, 'b' é"  # (copied programs find one another through a shell: no $, no ")
    odd.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    with postgres_server() as server:
        assert asyncio.run(ask(server, "show fsync")) == "on"
        assert server.socket_directory
        assert (server.socket_directory / f".s.PGSQL.{parse_url(server.url).port}").is_socket()
    assert list(odd.iterdir()) == []


def test_a_temporary_directory_that_is_missing_is_an_error(
    any_source: None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place / "missing"))
    with pytest.raises(ConfigError, match="set TMPDIR"), postgres_server():
        pytest.fail("it started")


# --- as root -----------------------------------------------------------------------------------

only_root = pytest.mark.skipif(not AS_ROOT, reason="it runs as ourselves unless we are root")


@only_root
async def test_as_root_it_runs_as_nobody_in_a_directory_closed_to_others(
    any_source: None, place: Path
) -> None:
    async with postgres_server(fsync=False) as server:
        assert server.socket_directory
        directory = server.socket_directory.parent
        written = directory / "data" / "postmaster.pid"
        assert written.owner() == "nobody"
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (directory, *directory.iterdir())}
        modes.pop("programs", None)  # copied where they are out of reach
        assert modes == {directory.name: "0o711", "data": "0o700", "log": "0o600", "run": "0o700"}
        assert directory.stat().st_uid == 0


@pytest.fixture
def closed_wheel(place: Path) -> Iterator[Path]:
    """A place of packages that only we can enter, with the wheel in it."""
    programs = POSTGRES.wheel()
    if programs is None:
        pytest.skip("the wheel is not installed")
    closed = Path(tempfile.mkdtemp(dir=place.parent))  # mode 0700
    for part in programs.parts:
        if (programs.root / part).is_dir():
            ignore = shutil.ignore_patterns("*.a", "include")
            shutil.copytree(programs.root / part, closed / part, ignore=ignore)
    (closed / "embedded_postgres" / "__init__.py").write_text("raise ImportError('never to be imported')")
    yield closed
    shutil.rmtree(closed)


@only_root
async def test_programs_that_nobody_cannot_reach_are_copied(
    closed_wheel: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(closed_wheel)
    async with postgres_server(fsync=False) as server:
        assert server.socket_directory
        assert (server.socket_directory.parent / "programs" / "embedded_postgres").is_dir()
        assert await ask(server, "select 1") == 1
    assert closed_wheel.stat().st_mode & 0o777 == 0o700
    assert list(place.iterdir()) == []


@only_root
def test_a_copy_that_may_not_run_is_a_clear_error(closed_wheel: Path, place: Path) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(closed_wheel)!r})
from hive_state_core.embedded import postgres_server
from hive_state_core.errors import ConfigError
try:
    with postgres_server(): print("it started")
except ConfigError as error: print(error)
"""
    mount = 'mount -t tmpfs -o noexec,mode=1777 none "$TMPDIR" || exit 77; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", code]
    if shutil.which("unshare") is None:
        pytest.skip("needs a file system of its own, by unshare(1)")
    done = subprocess.run(command, env=os.environ | {"TMPDIR": str(place)}, capture_output=True, text=True)
    if done.returncode in (1, 77):
        pytest.skip(f"cannot mount a file system here: {done.stderr}")
    assert f"{place} is mounted noexec" in done.stdout


@only_root
def test_a_place_that_nobody_can_enter_is_a_clear_error(any_source: None, place: Path) -> None:
    place.chmod(0o700)
    with pytest.raises(ConfigError, match=f"'nobody', which cannot enter {place}; set TMPDIR"):
        with postgres_server():
            pytest.fail("it started")
    assert list(place.iterdir()) == []
