"""The writer turnstile: one process inside at a time, no barging, bounded waits, no leaked locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest

from hive_state_sqlite import turnstile as module
from hive_state_sqlite.turnstile import Turnstile, wal_reset_safe

posix = pytest.mark.skipif(not module.SUPPORTED, reason="the turnstile is a no-op without flock")

# A peer reads commands, one a line, and answers each with a line. It loads the one file it
# tests, so that it starts fast and needs nothing else of hive-state.
PEER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("turnstile", sys.argv[1])
module = importlib.util.module_from_spec(spec); sys.modules["turnstile"] = module
spec.loader.exec_module(module)
turnstile = module.Turnstile(sys.argv[2])
print("ready", flush=True)
for line in sys.stdin:
    command, _, argument = line.partition(" ")
    print(getattr(turnstile, command.strip())(*([float(argument)] if argument else [])), flush=True)
"""


class Peer:
    """A Turnstile in another process, driven line by line."""

    def __init__(self, database: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", PEER, module.__file__, str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.answer() == "ready"

    def send(self, command: str) -> None:
        stdin: IO[str] | None = self.process.stdin
        assert stdin is not None
        stdin.write(command + "\n")
        stdin.flush()

    def answer(self) -> str:
        stdout: IO[str] | None = self.process.stdout
        assert stdout is not None
        return stdout.readline().strip()

    def do(self, command: str) -> str:
        self.send(command)
        return self.answer()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "hive.db"
    path.touch(mode=0o640)
    return path


@pytest.fixture
def peer(database: Path) -> Iterator[Callable[[], Peer]]:
    started: list[Peer] = []

    def start() -> Peer:
        started.append(Peer(database))
        return started[-1]

    yield start
    for each in started:
        each.end()


def in_the_queue(database: Path) -> bool:
    """True when somebody is at the head of the queue, told without joining it for long."""
    import fcntl

    with Path(f"{database}-turnstile-queue").open("rb") as queue:
        try:
            fcntl.flock(queue, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


@posix
def test_one_process_at_a_time_and_release_lets_the_next_in(database: Path, peer: Callable[[], Peer]) -> None:
    other = peer()
    with closing(Turnstile(database)) as mine:
        assert other.do("acquire 1") == "True"
        assert mine.acquire(0) is False
        other.do("release")
        assert mine.acquire(1) is True
        assert other.do("acquire 0.01") == "False"


@posix
def test_two_turnstiles_of_one_process_exclude_each_other(database: Path) -> None:
    with closing(Turnstile(database)) as one, closing(Turnstile(database)) as two:
        assert one.acquire(0)
        assert not two.acquire(0)
        one.release()
        assert two.acquire(0)


@posix
def test_a_waiter_is_served_although_the_holder_reenters_at_once(
    database: Path, peer: Callable[[], Peer]
) -> None:
    waiter = peer()
    with closing(Turnstile(database)) as mine:
        assert mine.acquire(1)
        waiter.send("acquire 10")
        until(lambda: in_the_queue(database))
        mine.release()
        # The waiter is at the head: entering again at once must not overtake it.
        assert mine.acquire(0.2) is False
        assert waiter.answer() == "True"
        waiter.do("release")
        assert mine.acquire(1)


@posix
def test_a_timeout_is_bounded_and_leaves_nothing_locked(database: Path, peer: Callable[[], Peer]) -> None:
    holder = peer()
    holder.do("acquire 1")
    with closing(Turnstile(database)) as mine:
        start = time.monotonic()
        assert mine.acquire(0.1) is False
        assert 0.1 <= time.monotonic() - start < 1.0
        assert not in_the_queue(database)
        holder.do("release")
        assert mine.acquire(1)


@posix
def test_a_killed_holder_frees_it(database: Path, peer: Callable[[], Peer]) -> None:
    holder = peer()
    assert holder.do("acquire 1") == "True"
    os.kill(holder.process.pid, signal.SIGKILL)
    with closing(Turnstile(database)) as mine:
        assert mine.acquire(2)


@posix
def test_a_killed_head_of_the_queue_keeps_nobody_out(database: Path, peer: Callable[[], Peer]) -> None:
    head = peer()
    with closing(Turnstile(database)) as mine:
        assert mine.acquire(1)
        head.send("acquire 10")
        until(lambda: in_the_queue(database))
        os.kill(head.process.pid, signal.SIGKILL)
        mine.release()
        # What it has left behind, that newcomers queue, ends with the first who does.
        for _ in range(2):
            assert mine.acquire(2)
            mine.release()


@posix
def test_who_comes_while_the_queue_has_a_head_does_not_pass_it(
    database: Path, peer: Callable[[], Peer]
) -> None:
    holder, head = peer(), peer()
    assert holder.do("acquire 1") == "True"
    head.send("acquire 10")
    until(lambda: in_the_queue(database))
    os.kill(head.process.pid, signal.SIGSTOP)  # it does not look for its turn now
    try:
        holder.do("release")
        with closing(Turnstile(database)) as newcomer:
            assert newcomer.acquire(0.1) is False
    finally:
        os.kill(head.process.pid, signal.SIGCONT)
    assert head.answer() == "True"


@posix
def test_close_frees_it_and_is_final(database: Path, peer: Callable[[], Peer]) -> None:
    holder = peer()
    assert holder.do("acquire 1") == "True"
    holder.do("close")
    with closing(Turnstile(database)) as mine:
        assert mine.acquire(1)
    mine.close()
    with pytest.raises(ValueError, match="closed"):
        mine.acquire(0)


@posix
def test_a_forked_child_neither_frees_nor_keeps_the_place(database: Path) -> None:
    with closing(Turnstile(database)) as mine, closing(Turnstile(database)) as other:
        assert mine.acquire(0)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - runs in the child
            mine.release()
            os.write(write, b"barred" if not mine.acquire(0) else b"inside")
            time.sleep(60)
            os._exit(0)
        try:
            assert os.read(read, 6) == b"barred"  # its own queueing, no inherited place
            assert not other.acquire(0)  # the child's release freed nothing
            mine.close()
            assert other.acquire(1)  # although the child lives
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(read)
            os.close(write)


@posix
def test_every_spelling_of_the_path_meets_at_the_same_files(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "alias.db"
    link.symlink_to(database)
    monkeypatch.chdir(tmp_path)
    with closing(Turnstile(link)) as one, closing(Turnstile("hive.db")) as two:
        assert one.acquire(0)
        assert not two.acquire(0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "elsewhere", "hive.db", "hive.db-turnstile-queue", "hive.db-turnstile-writer",
    ]  # fmt: skip


@posix
def test_side_files_have_the_mode_of_the_database_whatever_the_umask(database: Path) -> None:
    database.chmod(0o660)
    umask = os.umask(0o077)
    try:
        Turnstile(database).close()
    finally:
        os.umask(umask)
    for suffix in ("queue", "writer"):
        assert Path(f"{database}-turnstile-{suffix}").stat().st_mode & 0o777 == 0o660


@posix
def test_deleted_side_files_bring_everybody_to_the_new_ones(database: Path) -> None:
    with closing(Turnstile(database)) as old:
        for suffix in ("queue", "writer"):
            Path(f"{database}-turnstile-{suffix}").unlink()
        with closing(Turnstile(database)) as new:
            assert new.acquire(0)
            assert not old.acquire(0.01)
            new.release()
            assert old.acquire(0)


@posix
def test_no_place_for_side_files_is_an_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        Turnstile(tmp_path / "no such.db")
    database = tmp_path / "hive.db"
    database.touch()
    real = os.open

    def read_only(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(PermissionError):
        Turnstile(database)


def test_entering_twice_is_a_mistake_and_leaving_twice_is_none(database: Path) -> None:
    with closing(Turnstile(database)) as mine:
        assert mine.acquire(0)
        with pytest.raises(RuntimeError):
            mine.acquire(0)
        mine.release()
        mine.release()
        assert mine.acquire(0)


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 6, 23), True),  # no WAL yet
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((3, 53, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_which_sqlite_has_the_wal_reset_fix(version: tuple[int, int, int], safe: bool) -> None:
    assert wal_reset_safe(version) is safe
