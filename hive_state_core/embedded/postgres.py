"""PostgreSQL of our own: found, set up in a temporary directory, started, stopped, killed, removed."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from hive_state_core.embedded.postgres_programs import POSTGRES
from hive_state_core.embedded.process import Supervised, tail
from hive_state_core.embedded.sources import Given, Programs, Source, account, choose
from hive_state_core.errors import ConfigError, Unavailable

STARTUP_SECONDS = 30.0
_STOP_SECONDS = 10.0
_USER = "hive"
_PORTS = range(20000, 32000)
"""Below the ports that systems give to outgoing connections."""
_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
_OURS = ("data_directory", "fsync", "listen_addresses", "port", "unix_socket_directories")
_NOT_COPIED = ("*.a", "include", "pkgconfig", "pgxs", "doc", "man")


class Server:
    """A running PostgreSQL. `url` holds the password of a superuser; `repr` shows neither.

    `version` and `pid` are None where the server is not ours, and `pid` also while it is down.
    `socket_directory` holds its unix socket, if it has one. The methods block for a moment, and may be
    called from any thread: in a coroutine, `await asyncio.to_thread(server.kill)`.
    """

    source: Source
    url: str
    version: str | None = None
    pid: int | None = None
    socket_directory: Path | None = None

    def __repr__(self) -> str:
        return f"<PostgreSQL {self.version or '(of unknown version)'} from {self.source}, pid {self.pid}>"

    def kill(self) -> None:
        """SIGKILL to all its processes, as in a crash. Returns when none runs any more."""
        raise self._not_ours("kill")

    def stop(self) -> None:
        """Shut it down cleanly; sessions are cut off. The data stay until the `with` block ends."""
        raise self._not_ours("stop")

    def start(self) -> None:
        """Start it again on the same data and the same URL, and return when it takes connections.

        Nothing happens if it runs. Raises ConfigError if it does not start, Unavailable if it takes too
        long, each with the end of its log.
        """
        raise self._not_ours("start")

    def _not_ours(self, what: str) -> ConfigError:
        return ConfigError(f"cannot {what} the server of {POSTGRES.url_setting}: it is not ours")


class _Given(Server):
    def __init__(self, given: Given) -> None:
        self.source = given.source
        self.url = given.url


class _Own(Server):
    def __init__(self, programs: Programs, supervised: Supervised, settings: Mapping[str, str]) -> None:
        self.source = programs.source
        self._programs = programs
        self._supervised = supervised
        self._settings = settings
        self._changing = threading.Lock()
        self._password = secrets.token_hex(16)
        self._port = 0

    def set_up(self, until: float) -> None:
        """Initialise a database cluster, and start it on a free port."""
        self._supervised.open()
        self._bin, self.version = self._runnable(until)
        self._data = self._supervised.folder("data")
        self.socket_directory = self._socket_directory()
        self._initdb(until)
        for attempt in range(10):
            self._port = _free_port()
            try:
                self._launch(until)
                break
            except _PortTaken:
                if attempt == 9:
                    raise
        self.url = f"postgres://{_USER}:{self._password}@127.0.0.1:{self._port}/postgres"

    def kill(self) -> None:
        with self._changing:
            self._supervised.ask("kill", _STOP_SECONDS)
            self.pid = None

    def stop(self) -> None:
        with self._changing:
            self._end(signal.SIGINT)
            self.pid = None

    def start(self) -> None:
        with self._changing:
            if not self._runs():
                self._launch(time.monotonic() + STARTUP_SECONDS)

    def _end(self, by: signal.Signals) -> None:
        self._supervised.ask("stop", _STOP_SECONDS, signal=int(by), timeout=_STOP_SECONDS)

    def _runs(self) -> bool:
        return bool(self._supervised.ask("status")["running"])

    def _runnable(self, until: float) -> tuple[Path, str]:
        """The programs, or a copy of them if the account cannot reach them; and their version."""
        try:
            return self._programs.bin, self._version_of(self._programs.bin, until)
        except PermissionError as error:
            user = self._supervised.account
            if not user:
                raise ConfigError(f"cannot run {self._programs.bin}/postgres: {error.strerror}") from error
            if not self._programs.parts:
                raise ConfigError(
                    f"as root, PostgreSQL runs as the account {user.name!r}, which cannot run "
                    f"{self._programs.bin}/postgres: {POSTGRES.hint}"
                ) from error
        copied = self._supervised.copy(self._programs.root, self._programs.parts, _NOT_COPIED)
        folder = copied / self._programs.bin.relative_to(self._programs.root)
        return folder, self._version_of(folder, until)

    def _version_of(self, folder: Path, until: float) -> str:
        said = self._run(until, folder / "postgres", "--version")
        return said.partition(")")[2].split()[0]  # postgres (PostgreSQL) 15.18 (Debian ...)

    def _socket_directory(self) -> Path | None:
        path = self._supervised.directory / "run"
        longest = path / ".s.PGSQL.65535"
        return self._supervised.folder("run") if len(os.fsencode(longest)) <= _SOCKET_PATH_BYTES else None

    def _initdb(self, until: float) -> None:
        """A cluster with a password for its one user: any local user can reach a TCP port.

        Nothing is synced to disk yet; what lies there before the first start need not survive a power cut.
        """
        secret = self._supervised.write("password", self._password)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--data-checksums", "--no-sync"]
        options += ["--encoding=UTF8", "--locale=C", f"--username={_USER}", f"--pgdata={self._data}"]
        self._run(until, self._bin / "initdb", *options)
        secret.unlink()

    def _run(self, until: float, program: Path, *options: str) -> str:
        return self._supervised.run([str(program), *options], max(0.1, until - time.monotonic()))

    def _command(self) -> list[str]:
        folder = str(self.socket_directory or "").replace('"', '""')
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": f'"{folder}"' if folder else "",
            "dynamic_shared_memory_type": "mmap",  # a crash leaves no files elsewhere
        }
        options = [f"{name}={value}" for name, value in {**settings, **self._settings}.items()]
        return [str(self._bin / "postgres"), "-D", str(self._data), *(f"-c{option}" for option in options)]

    def _launch(self, until: float) -> None:
        """Start it, and wait until it takes connections; if it does not, it is down afterwards."""
        begun = len(self._supervised.log().encode())
        answer = self._supervised.ask("spawn", argv=self._command(), quit=int(signal.SIGQUIT))
        try:
            self._await_ready(answer["pid"], until)
        except _NotReady as error:
            self._end(signal.SIGQUIT)
            raise _failure(self._supervised.log(begun), self._port, error.late) from None
        self.pid = answer["pid"]

    def _await_ready(self, pid: int, until: float) -> None:
        while not self._ready(pid):
            late = time.monotonic() > until
            if late or not self._runs():
                raise _NotReady(late)
            time.sleep(0.01)

    def _ready(self, pid: int) -> bool:
        """Eight lines tell its state: pid, directory, time, port, socket, address, memory, state."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) < 8 or lines[0] != str(pid) or lines[7].strip() != "ready":
            return False
        memory = lines[6].split()
        self._supervised.ask("mop", argv=["ipcrm", "-m", memory[1]] if len(memory) == 2 else [])
        return True


class _NotReady(Exception):
    def __init__(self, late: bool) -> None:
        self.late = late


class _PortTaken(Unavailable):
    pass


def _failure(log: str, port: int, late: bool) -> Exception:
    end = f"the end of its log:\n{tail(log)}"
    if "could not bind" in log and "Address already in use" in log:
        return _PortTaken(f"PostgreSQL cannot listen on 127.0.0.1:{port}, which another program uses; {end}")
    if late:
        return Unavailable(f"PostgreSQL was not ready after {STARTUP_SECONDS:.0f} s; {end}")
    return ConfigError(f"PostgreSQL ended while it started; {end}")


def _free_port() -> int:
    """A port that is free now; PostgreSQL says if that has changed when it takes it."""
    for port in random.sample(_PORTS, 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unavailable(f"50 ports between {_PORTS.start} and {_PORTS.stop} were all in use")


class postgres_server:  # noqa: N801
    """`with` or `async with postgres_server() as server`: a PostgreSQL for as long as the block runs.

    It comes from `HIVE_STATE_TEST_POSTGRES_URL`, else from the wheel of `hive-state[embedded]`, else from
    what is installed; `HIVE_STATE_EMBEDDED_POSTGRES=url|wheel|path` forces one of them. It listens on a free
    port of 127.0.0.1 and on a unix socket, both with a random password. As root it runs as `nobody`.

    `fsync=False` trades survival of a power cut for speed; a kill it survives all the same. `settings` are
    PostgreSQL's own. Neither touches a server that comes from a URL.

    When the block ends, and also when this process does, in whatever way, no process and no file remains.
    Raises ConfigError if there is no PostgreSQL or it does not start, Unavailable if that takes over 30 s.
    """

    def __init__(self, *, fsync: bool = True, settings: Mapping[str, str] = {}) -> None:
        if taken := sorted({name.lower() for name in settings} & set(_OURS)):
            raise ConfigError(f"{', '.join(taken)} cannot be set here: hive-state chooses it")
        self._settings = {"fsync": "on" if fsync else "off", **settings}
        self._supervised: Supervised | None = None
        self._abandoned = False

    def __enter__(self) -> Server:
        until = time.monotonic() + STARTUP_SECONDS
        found = choose(POSTGRES)
        if isinstance(found, Given):
            return _Given(found)
        self._supervised = Supervised("hive-state-pg-", account())
        try:
            if self._abandoned:
                raise Unavailable("the start was given up")
            server = _Own(found, self._supervised, self._settings)
            server.set_up(until)
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                raise ConfigError(f"cannot set up PostgreSQL from {found.bin}: {error}") from error
            raise
        return server

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def __aenter__(self) -> Server:
        opening = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._abandon()
            await asyncio.wait([opening])
            if not opening.cancelled():
                opening.exception()  # that it was given up; else asyncio complains that nobody looked
            await asyncio.shield(asyncio.to_thread(self._close))
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # shielded: a thread that has not begun would else not begin
        await asyncio.shield(asyncio.to_thread(self._close))

    def _abandon(self) -> None:
        """End a start that another thread is busy with; one of the two sees what the other has set."""
        self._abandoned = True
        if self._supervised:
            self._supervised.abandon()

    def _close(self) -> None:
        if self._supervised:
            self._supervised.close()
