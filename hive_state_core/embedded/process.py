"""Our end of the pipe to the process that owns a server: a private directory, programs, one server."""

from __future__ import annotations

import json
import os
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hive_state_core.embedded.sources import Account
from hive_state_core.errors import ConfigError, Unavailable

_SCRIPT = Path(__file__).with_name("supervisor.py")
_SLACK_SECONDS = 10.0
_CLOSE_SECONDS = 20.0
# Nothing else of our environment: it may hold secrets, and the account is not ours alone.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class Supervised:
    """A directory and a server in it, both gone when this is closed or this process has ended in any way.

    Safe to use from several threads. Methods raise OSError as the system gave it, and Unavailable if the
    supervisor is gone.
    """

    def __init__(self, prefix: str, account: Account | None) -> None:
        self.account = account
        self._prefix = prefix
        self._lock = threading.Lock()
        self._count = 0
        self._buffer = b""
        self._path: Path | None = None
        # -I -S: quick, and nothing of the user's Python settings gets in
        command = [sys.executable or "python3", "-I", "-S", str(_SCRIPT), str(os.getpid())]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        self._process = subprocess.Popen(  # noqa: S603
            command, cwd="/", stderr=subprocess.DEVNULL, start_new_session=True, **pipes
        )

    @property
    def directory(self) -> Path:
        """It is private; only what is made by `folder` and `write` belongs to the account."""
        if self._path is None:
            raise Unavailable("the server's directory has not been made")
        return self._path

    def open(self) -> None:
        """Make the directory, in TMPDIR or the system's temporary directory."""
        env = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        env |= {"LC_ALL": "C", "TZ": "UTC"}
        account = self.account and [self.account.uid, self.account.gid]
        try:
            root = str(Path(tempfile.gettempdir()).resolve())
            made = self.ask("open", root=root, prefix=self._prefix, account=account, env=env)
        except OSError as error:
            raise ConfigError(
                f"cannot make a temporary directory; set TMPDIR to another place ({error})"
            ) from error
        self._path = Path(made["directory"])
        self._check_reachable()

    def folder(self, name: str) -> Path:
        """A new folder that only the account can enter."""
        made = self.directory / name
        made.mkdir(mode=0o700)
        self._give(made)
        return made

    def write(self, name: str, text: str) -> Path:
        """A new file that only the account can read."""
        made = self.directory / name
        made.touch(mode=0o600, exist_ok=False)
        made.write_text(text)
        self._give(made)
        return made

    def copy(self, root: Path, parts: Iterable[str], skip: Iterable[str]) -> Path:
        """Copy these trees of programs where the account can read and run them. Returns the root of the copy.

        Raises ConfigError if the directory's file system does not run programs.
        """
        if os.statvfs(self.directory).f_flag & getattr(os, "ST_NOEXEC", 0):
            raise ConfigError(
                f"{self.directory.parent} is mounted noexec, so no copy of the server can run there; "
                "set TMPDIR to another place, or do not run as root"
            )
        target = self.directory / "programs"
        for part in parts:
            if (root / part).is_dir():
                ignore = shutil.ignore_patterns(*skip)
                shutil.copytree(root / part, target / part, ignore=ignore, copy_function=shutil.copyfile)
        for path in (target, *target.rglob("*")):
            path.chmod(0o755)
        return target

    def run(self, argv: list[str], timeout: float) -> str:
        """Run a program to its end. Returns its output, or raises ConfigError with the end of it."""
        done = self.ask("run", timeout, argv=argv, timeout=timeout)
        if done["code"] == 0:
            return str(done["output"])
        what = Path(argv[0]).name
        if done["code"] is None:
            raise Unavailable(f"{what} was not done after {timeout:.0f} s")
        raise ConfigError(f"{what} failed with exit code {done['code']}:\n{tail(str(done['output']))}")

    def ask(self, do: str, seconds: float = 0.0, /, **what: Any) -> dict[str, Any]:
        """Have the supervisor do something that may take it some seconds; its module tells what there is."""
        with self._lock:
            self._count += 1
            line = json.dumps({"id": self._count, "do": do, **what}).encode() + b"\n"
            try:
                self._pipe("stdin").write(line)
                answer = self._answer(time.monotonic() + seconds + _SLACK_SECONDS)
            except (BrokenPipeError, ValueError) as error:
                raise _gone() from error
        if "error" in answer:
            raise OSError(*answer["error"])
        return answer

    def log(self, start: int = 0) -> str:
        """What the server has written to its log, from this byte on."""
        try:
            return (self.directory / "log").read_bytes()[start:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def abandon(self) -> None:
        """Begin to end, without waiting: calls of other threads fail with Unavailable. Then `close`."""
        self._process.terminate()

    def close(self) -> None:
        """End it all; returns when it is gone, or after a bounded time. May be called again."""
        self._pipe("stdin").close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pipe("stdout").close()
        if self._path is not None:
            shutil.rmtree(
                self._path, ignore_errors=True
            )  # the supervisor did; this is for when it was killed

    def _give(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def _check_reachable(self) -> None:
        if not self.account:
            return
        for parent in self.directory.parents:
            if not parent.stat().st_mode & stat.S_IXOTH:
                raise ConfigError(
                    f"as root, the server runs as the account {self.account.name!r}, which cannot enter "
                    f"{parent}; set TMPDIR to a place that it can reach"
                )

    def _pipe(self, name: str) -> Any:
        return getattr(self._process, name)

    def _answer(self, until: float) -> dict[str, Any]:
        """The answer to the last question; those to questions that were given up are passed over."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                answer: dict[str, Any] = json.loads(line)
                if answer["id"] == self._count:
                    return answer
            else:
                self._buffer += self._read(until)

    def _read(self, until: float) -> bytes:
        ready = select.poll()
        ready.register(self._pipe("stdout"), select.POLLIN)
        if not ready.poll(max(0.0, until - time.monotonic()) * 1000):
            raise Unavailable("the process that looks after the server does not answer")
        data: bytes = self._pipe("stdout").read(65536)
        if not data:
            raise _gone()
        return data


def _gone() -> Unavailable:
    return Unavailable("the process that looks after the server is gone, and the server with it")


def tail(text: str, lines: int = 15) -> str:
    """The last lines of a log, for an error."""
    return "\n".join(text.rstrip().splitlines()[-lines:]) or "(it wrote nothing)"
