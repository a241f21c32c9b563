"""A server of our own: found, set up in a temporary directory, started, stopped, killed, removed.

`Own` is what all kinds of server share, each kind adds its own; `Embedded` is the block in which one runs.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from hive_state_core.embedded.process import Supervised, tail
from hive_state_core.embedded.sources import Given, Kind, Programs, Source, account, choose
from hive_state_core.errors import ConfigError, Unavailable

STARTUP_SECONDS = 30.0
_STOP_SECONDS = 10.0
_PORTS = range(20000, 32000)
"""Below the ports that systems give to outgoing connections."""
_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103


class Server:
    """A running server. `url` holds the password of a superuser; `repr` shows neither. `socket_url` is the
    same by its unix socket, which is quicker than TCP, or `url` where it has none.

    `version` and `pid` are None where the server is not ours, and `pid` also while it is down.
    `socket_directory` holds its unix socket, if it has one. The methods block for a moment, and may be
    called from any thread: in a coroutine, `await asyncio.to_thread(server.kill)`.
    """

    url: str
    socket_url: str
    version: str | None = None
    pid: int | None = None
    socket_directory: Path | None = None

    def __init__(self, kind: Kind, source: Source) -> None:
        self.kind: Kind = kind
        self.source: Source = source

    def __repr__(self) -> str:
        version = self.version or "(of unknown version)"
        return f"<{self.kind.name} {version} from {self.source}, pid {self.pid}>"

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
        return ConfigError(f"cannot {what} the server of {self.kind.url_setting}: it is not ours")


class _Given(Server):
    def __init__(self, kind: Kind, given: Given) -> None:
        super().__init__(kind, given.source)
        self.url = self.socket_url = given.url


class _NotReady(Exception):
    def __init__(self, late: bool) -> None:
        self.late = late


class _PortTaken(Unavailable):
    pass


class Own(Server, ABC):
    """A server that we start. `folder` holds its data; `program` is what runs, from the folder `programs`.

    ends_by       the signal that shuts it down, with no regard to those who are connected
    quits_by      the signal that ends it when nothing is to be kept
    socket_name   the longest name that its unix socket may have
    not_copied    patterns of files that a copy of the programs can do without
    """

    ends_by: signal.Signals
    quits_by: signal.Signals
    socket_name: str
    not_copied: tuple[str, ...] = ()

    url: str
    socket_url: str
    version: str | None
    pid: int | None
    socket_directory: Path | None
    program: Path
    folder: Path
    port: int

    def __init__(self, kind: Kind, programs: Programs, supervised: Supervised) -> None:
        super().__init__(kind, programs.source)
        self.supervised: Supervised = supervised
        self._programs = programs
        self._changing = threading.Lock()

    @abstractmethod
    def version_of(self, said: str) -> str:
        """The version, of what `--version` prints."""

    @abstractmethod
    def prepare(self, until: float) -> None:
        """Make in the folder what the server needs for its first start. `until` is a monotonic instant."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments, to listen on `port`."""

    @abstractmethod
    def ready(self, pid: int, log_start: int) -> bool:
        """Whether it takes connections. Its log begins at this byte."""

    @abstractmethod
    def port_taken(self, log: str) -> bool:
        """Whether it says that another program has the port."""

    @abstractmethod
    def address(self) -> str:
        """The URL by TCP."""

    @abstractmethod
    def socket_address(self, directory: Path) -> str:
        """The URL by the unix socket in this directory."""

    def set_up(self, until: float) -> None:
        """Set it up, and start it on a free port."""
        self.supervised.open()
        self.program, self.version = self._runnable(until)
        self.folder = self.supervised.folder("data")
        self.socket_directory = self._socket_directory()
        self.prepare(until)
        for attempt in range(10):
            self.port = free_port()
            try:
                self._launch(until)
                break
            except _PortTaken:
                if attempt == 9:
                    raise
        self.url = self.socket_url = self.address()
        if self.socket_directory is not None:
            self.socket_url = self.socket_address(self.socket_directory)

    def kill(self) -> None:
        with self._changing:
            self.supervised.ask("kill", _STOP_SECONDS)
            self.pid = None

    def stop(self) -> None:
        with self._changing:
            self._end(self.ends_by)
            self.pid = None

    def start(self) -> None:
        with self._changing:
            if not self._runs():
                self._launch(time.monotonic() + STARTUP_SECONDS)

    def run(self, until: float, program: Path, *options: str) -> str:
        """Run a program to its end. Returns its output."""
        return self.supervised.run([str(program), *options], max(0.1, until - time.monotonic()))

    def _end(self, by: signal.Signals) -> None:
        self.supervised.ask("stop", _STOP_SECONDS, signal=int(by), timeout=_STOP_SECONDS)

    def _runs(self) -> bool:
        return bool(self.supervised.ask("status")["running"])

    def _runnable(self, until: float) -> tuple[Path, str]:
        """The program, or a copy of it if the account cannot reach it; and its version."""
        program = self._programs.server
        try:
            return program, self.version_of(self.run(until, program, "--version"))
        except PermissionError as error:
            user = self.supervised.account
            if not user:
                raise ConfigError(f"cannot run {program}: {error.strerror}") from error
            if not self._programs.parts:
                raise ConfigError(
                    f"as root, {self.kind.name} runs as the account {user.name!r}, which cannot run "
                    f"{program}: {self.kind.hint}"
                ) from error
        root = self._programs.root
        copy = self.supervised.copy(root, self._programs.parts, self.not_copied) / program.relative_to(root)
        return copy, self.version_of(self.run(until, copy, "--version"))

    def _socket_directory(self) -> Path | None:
        longest = self.supervised.directory / "run" / self.socket_name
        return self.supervised.folder("run") if len(os.fsencode(longest)) <= _SOCKET_PATH_BYTES else None

    def _launch(self, until: float) -> None:
        """Start it, and wait until it takes connections; if it does not, it is down afterwards."""
        begun = len(self.supervised.log().encode())
        answer = self.supervised.ask("spawn", argv=self.command(), quit=int(self.quits_by))
        try:
            self._await_ready(answer["pid"], begun, until)
        except _NotReady as error:
            self._end(self.quits_by)
            raise self._failure(self.supervised.log(begun), error.late) from None
        self.pid = answer["pid"]

    def _await_ready(self, pid: int, log_start: int, until: float) -> None:
        while not self.ready(pid, log_start):
            late = time.monotonic() > until
            if late or not self._runs():
                raise _NotReady(late)
            time.sleep(0.01)

    def _failure(self, log: str, late: bool) -> Exception:
        name, end = self.kind.name, f"the end of its log:\n{tail(log)}"
        if self.port_taken(log):
            return _PortTaken(
                f"{name} cannot listen on 127.0.0.1:{self.port}, which another program uses; {end}"
            )
        if late:
            return Unavailable(f"{name} was not ready after {STARTUP_SECONDS:.0f} s; {end}")
        return ConfigError(f"{name} ended while it started; {end}")


def free_port() -> int:
    """A port that is free now; the server says if that has changed when it takes it."""
    for port in random.sample(_PORTS, 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unavailable(f"50 ports between {_PORTS.start} and {_PORTS.stop} were all in use")


def check_settings(settings: Iterable[str], ours: Iterable[str]) -> None:
    """Raises ConfigError if one of the server's settings is not to be chosen by others."""
    if taken := sorted({name.lower() for name in settings} & set(ours)):
        raise ConfigError(f"{', '.join(taken)} cannot be set here: hive-state chooses it")


class Embedded(ABC):
    """`with` or `async with`: a server for as long as the block runs.

    When the block ends, and also when this process does, in whatever way, no process and no file remains.
    Raises ConfigError if there is no such server or it does not start, Unavailable if that takes over 30 s.
    """

    kind: Kind
    prefix: str
    """Of its directory's name."""

    def __init__(self) -> None:
        self._supervised: Supervised | None = None
        self._abandoned = False

    @abstractmethod
    def make(self, programs: Programs, supervised: Supervised) -> Own:
        """A server of ours, not set up yet."""

    def __enter__(self) -> Server:
        until = time.monotonic() + STARTUP_SECONDS
        found = choose(self.kind)
        if isinstance(found, Given):
            return _Given(self.kind, found)
        self._supervised = Supervised(self.prefix, account())
        try:
            if self._abandoned:
                raise Unavailable("the start was given up")
            server = self.make(found, self._supervised)
            server.set_up(until)
            return server
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                where = found.server.parent
                raise ConfigError(f"cannot set up {self.kind.name} from {where}: {error}") from error
            raise

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
