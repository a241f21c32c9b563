"""The process that owns a server, and leaves nothing of it behind whatever becomes of the one who asked.

A script of its own, `python -I -S supervisor.py PARENT_PID`, of the standard library only. It takes one
JSON object a line on stdin, `{"id": n, "do": name, ...}`, and answers each with one on stdout:

    open   root prefix account env   makes the private directory            -> directory
    run    argv timeout              runs a program to its end              -> code (null: too slow), output
    spawn  argv quit                 starts the server; `quit` ends it when nothing is to be kept -> pid
    mop    argv                      what to run should this server end by SIGKILL
    status                                                                  -> running
    stop   signal timeout            signal, and SIGKILL when that takes too long
    kill                             SIGKILL to the server and all its descendants

Programs run as `account`, `[uid, gid]`, if one is given. When stdin is closed, the parent is gone, or
SIGTERM, SIGINT or SIGHUP comes, it ends: first the server, then the directory. Should it die itself, Linux
ends the server.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_QUIT_SECONDS = 5.0
_GONE_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """One directory, at most one server in it. Each `do_...` is a command; what it returns is the answer."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._account: list[int] | None = None
        self._env: dict[str, str] = {}
        self._server: subprocess.Popen[bytes] | None = None
        self._quit = int(signal.SIGTERM)
        self._mop: list[str] = []

    def do_open(
        self, root: str, prefix: str, account: list[int] | None, env: dict[str, str]
    ) -> dict[str, Any]:
        self._account, self._env = account, env
        self._directory = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        if account:
            # the account passes through to what is its own in there, and can change nothing else
            self._directory.chmod(0o711)
        return {"directory": str(self._directory)}

    def do_run(self, argv: list[str], timeout: float) -> dict[str, Any]:
        program = self._start(argv, signal.SIGKILL, subprocess.PIPE)
        try:
            output, _ = program.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"code": None, "output": ""}
        finally:
            _finish(program)
        return {"code": program.returncode, "output": output.decode(errors="replace")}

    def do_spawn(self, argv: list[str], quit: int) -> dict[str, Any]:
        assert self._directory is not None  # noqa: S101
        self._quit, self._mop = quit, []
        log = os.open(self._directory / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            self._server = self._start(argv, quit, log)
        finally:
            os.close(log)
        return {"pid": self._server.pid}

    def do_mop(self, argv: list[str]) -> dict[str, Any]:
        self._mop = argv
        return {}

    def do_status(self) -> dict[str, Any]:
        return {"running": self._server is not None and self._server.poll() is None}

    def do_stop(self, signal: int, timeout: float) -> dict[str, Any]:
        server = self._server
        if server is not None:
            server.send_signal(signal)
            try:
                server.wait(timeout)
            except subprocess.TimeoutExpired:
                _kill_tree(server)
            self._ended(server)
        return {}

    def do_kill(self) -> dict[str, Any]:
        server = self._server
        if server is not None:
            if server.poll() is None:
                _kill_tree(server)
            self._ended(server)
        return {}

    def close(self) -> None:
        """Nothing is left: no server, no shared memory, no directory."""
        self.do_stop(self._quit, _QUIT_SECONDS)
        if self._directory is not None:
            _remove(self._directory)

    def _start(self, argv: list[str], last: int, output: int) -> subprocess.Popen[bytes]:
        uid, gid = self._account or (None, None)
        return subprocess.Popen(  # noqa: S603
            argv,
            cwd="/",
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=uid,
            group=gid,
            extra_groups=[] if self._account else None,
            preexec_fn=_end_with_us(last),  # noqa: PLW1509
        )

    def _ended(self, server: subprocess.Popen[bytes]) -> None:
        """Clean up what a server cannot clean up itself when it is killed."""
        self._server = None
        if server.returncode == -signal.SIGKILL and self._mop:
            try:
                self.do_run(self._mop, _GONE_SECONDS)
            except OSError:
                return  # the program is not installed here; what remains are a few bytes


def _end_with_us(last: int) -> Callable[[], object] | None:
    """Linux sends a child this signal when its parent dies; elsewhere there is no such thing."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, last)  # PR_SET_PDEATHSIG


def _finish(program: subprocess.Popen[bytes]) -> None:
    """Let it come to its end, if it does so soon: one that is killed may leave shared memory behind."""
    if program.returncode is None:
        try:
            program.communicate(timeout=_GONE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            program.communicate()


def _kill_tree(server: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the server and its descendants, at one moment for them; returns when none runs any more.

    The server is held still first: it reaps no child meanwhile, so no process id is given to another.
    """
    server.send_signal(signal.SIGSTOP)
    tree = list(_descendants(server.pid))
    for pid in tree:
        _send_kill(pid)
    server.kill()
    server.wait()
    until = time.monotonic() + _GONE_SECONDS
    while any(map(_runs, tree)) and time.monotonic() < until:
        time.sleep(0.005)


def _send_kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # a grandchild may have been reaped


def _descendants(pid: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for child, parent in _processes():
        children.setdefault(parent, []).append(child)
    found = [pid]
    while found:
        for child in children.get(found.pop(), ()):
            found.append(child)
            yield child


def _processes() -> Iterator[tuple[int, int]]:
    """The ids of all processes, each with that of its parent."""
    return _processes_by_proc() if sys.platform == "linux" else _processes_by_ps()


def _processes_by_proc() -> Iterator[tuple[int, int]]:
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit() and (stat := _stat(int(entry))):
            yield int(entry), int(stat[1])


def _processes_by_ps() -> Iterator[tuple[int, int]]:
    columns = ["-o", "pid=", "-o", "ppid="]
    listed = subprocess.run(["/bin/ps", "-A", *columns], capture_output=True, check=True)  # noqa: S603
    for line in listed.stdout.splitlines():
        child, parent = line.split()
        yield int(child), int(parent)


def _stat(pid: int) -> list[str]:
    """State, parent, and so on, as Linux tells them; nothing if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _runs(pid: int) -> bool:
    """False also for a zombie: the first process of a container may never reap."""
    if sys.platform == "linux":
        return _stat(pid)[:1] not in ([], ["Z"], ["X"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _remove(directory: Path) -> None:
    """Remove it, even while the last writer is just going."""
    until = time.monotonic() + _GONE_SECONDS
    while directory.exists() and time.monotonic() < until:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.0 if not directory.exists() else 0.05)


def _lines(parent: int) -> Iterator[bytes]:
    """What is asked, until stdin is closed or the parent is gone.

    The parent is looked for as well because a child that it forked may hold the pipe open.
    """
    asked = select.poll()
    asked.register(0, select.POLLIN)
    rest = b""
    while os.getppid() == parent:
        if not asked.poll(500):
            continue
        data = os.read(0, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def _answer(supervisor: Supervisor, line: bytes) -> dict[str, Any]:
    asked = json.loads(line)
    number, command = asked.pop("id"), getattr(supervisor, "do_" + asked.pop("do"))
    try:
        answer: dict[str, Any] = command(**asked)
    except OSError as error:
        answer = {"error": [error.errno, error.strerror or str(error), error.filename]}
    except subprocess.SubprocessError as error:
        answer = {"error": [None, str(error), None]}
    return {"id": number, **answer}


def _leave(*_: object) -> None:
    _ignore_signals()
    raise SystemExit(0)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    for number in _SIGNALS:
        signal.signal(number, _leave)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o077)
    supervisor = Supervisor()
    try:
        for line in _lines(int(sys.argv[1])):
            os.write(1, json.dumps(_answer(supervisor, line)).encode() + b"\n")
    except BrokenPipeError:
        return
    finally:
        _ignore_signals()
        supervisor.close()


if __name__ == "__main__":
    main()
