"""A hive of several processes, and a `hive-state` to move it with, all in one folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from hive_state_core import open_store
from hive_state_core.choosing import choose
from hive_state_core.cli import main
from hive_state_core.config_file import read_config
from hive_state_core.errors import Unavailable
from hive_state_core.migration.lines import export_lines
from hive_state_core.migration.live import Live
from hive_state_core.migration.opening import live
from hive_state_core.migration.working import Worker
from hive_state_core.model import TaskState
from hive_state_core.spi import PEER

PROGRAM = Path(__file__).parents[2] / "faults" / "hive_process.py"
ALL = os.environ.get("HIVE_STATE_FAULTS") == "all"
"""Every fault is wanted, not only a selection."""

MOVER = Path(__file__).with_name("mover.py")
HAND = Path(__file__).with_name("hand.py")

CONFIG = """
use = "moving"
{source}
{target}
[stores.moving]
backend = "dual-write"
primary = "local"
secondary = "prod"
"""


def store_of(url: str, name: str = "prod") -> str:
    """Its lines of the configuration."""
    return f'[stores.{name}]\nurl = "{url}"'


def hybrid_of(durable: str, fast: str) -> str:
    """`prod` of two stores."""
    parts = store_of(durable, "durable"), store_of(fast, "fast")
    return "\n".join([*parts, '[stores.prod]\nbackend = "hybrid"\ndurable = "durable"\nfast = "fast"'])


class Process:
    """One of the hive, whose agents work until it is ended; and what it said was acknowledged."""

    def __init__(self, folder: Path, store: str, name: str) -> None:
        self.log = (folder / f"{name}.log").open("wb")
        self.errors = (folder / f"{name}.err").open("wb")
        command = [sys.executable, str(PROGRAM), store, name, "--agents", "3"]
        command += ["--lease", "20", "--seconds", "480", "--until", str(folder / "end")]
        self.killed = False
        self.running = subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.errors)

    def wait(self) -> int:
        code = self.running.wait(timeout=60)
        self.log.close()
        self.errors.close()
        return code


SOURCE = store_of("sqlite:///local.db", "local")
TARGET = store_of("sqlite:///prod.db")


class Hive:
    """Processes on a hive that moves from `local` to `prod`. Use it as a context manager."""

    def __init__(self, folder: Path, target: str = TARGET, source: str = SOURCE) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self.others: list[subprocess.Popen[str]] = []
        self.weakened = ""  # what the processes of `popen` and `hand` lack, see `weakened.py`
        (folder / "hive-state.toml").write_text(CONFIG.format(source=source, target=target))

    def __enter__(self) -> Hive:
        config = read_config(self.folder / "hive-state.toml")
        asyncio.run(open_store("local", config=config).upgrade_schema())
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.running.poll() is None:
                process.running.kill()
                process.wait()
        for other in self.others:
            other.kill()
            other.communicate()

    def stop(self, process: Process) -> None:
        """As by kill -STOP, but not while it holds a lock of the file: nobody could write then."""
        while True:
            process.running.send_signal(signal.SIGSTOP)
            if self._is_free():
                return
            process.running.send_signal(signal.SIGCONT)
            time.sleep(0.05)

    def _is_free(self) -> bool:
        async def write() -> None:
            url = f"sqlite:///{self.folder}/local.db?timeout=0.5"
            async with open_store(url, janitor=False) as hive:
                await hive.records.put("is it", "free", None)

        try:
            asyncio.run(write())
        except Unavailable:
            return False
        return True

    def kill(self, process: Process) -> None:
        """As by kill -9: what it said counts, what it was at may have been done or not."""
        process.killed = True
        process.running.kill()
        process.wait()

    def begin(self, *stores: str) -> None:
        for store in stores:
            self.processes.append(Process(self.folder, store, f"{store}-{len(self.processes)}"))
        for process in self.processes:
            if process.killed:
                continue
            until(lambda process=process: b"OPEN" in Path(process.log.name).read_bytes(), "a process to open")  # type: ignore[misc]

    def migrate(self, *words: str) -> Result:
        """`hive-state migrate WORDS`."""
        with contextlib.chdir(self.folder):
            return CliRunner().invoke(main, ["migrate", *words])

    def succeed(self, *words: str) -> None:
        """The same until it succeeds: somebody may still be busy with what a dead one began."""
        for _ in range(40):
            done = self.migrate(*words)
            if done.exit_code == 0:
                return
            self.work(0.25)
        raise AssertionError(f"{words}: {done.output}")

    def migrate_until(self, name: str, *words: str) -> None:
        """The same in a process of its own, which dies at this failpoint."""
        doomed = self.popen(*words, fail=(name, "kill"))
        told = doomed.communicate(timeout=60)
        assert doomed.returncode == -signal.SIGKILL, told

    def popen(self, *words: str, fail: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """`hive-state migrate WORDS` in a process of its own; `fail`: failpoints, each with an action."""
        return self._run(MOVER, "migrate", *words, fail=fail)

    def hand(self, *words: str, fail: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """`hand.py WORDS`."""
        return self._run(HAND, *words, fail=fail)

    def _run(self, program: Path, *words: str, fail: tuple[str, ...]) -> subprocess.Popen[str]:
        fate = "\n".join(f"{name}={action}" for name, action in zip(fail[::2], fail[1::2], strict=True))
        process = subprocess.Popen(
            [sys.executable, str(program), *words],
            cwd=self.folder,
            env={**os.environ, "WEAKENED": self.weakened, "FATE": fate},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.others.append(process)
        return process

    def status(self) -> dict[str, Any]:
        told = self.migrate("status", "--json")
        assert told.exit_code == 0, told.output
        found: dict[str, Any] = json.loads(told.stdout)
        return found

    def until_phase(self, *phases: str) -> None:
        until(lambda: self.status()["phase"] in phases, f"phase {' or '.join(phases)}")

    def until_stopped(self, process: subprocess.Popen[str]) -> None:
        """Wait for a process that stops itself at a failpoint."""
        until(lambda: self.is_stopped(process), "a process to stop")

    def is_stopped(self, process: subprocess.Popen[str]) -> bool:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def wake(self, process: subprocess.Popen[str]) -> int:
        """Let one that stopped itself come to its end; how it ended."""
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
        return process.returncode

    def until_sent(self) -> None:
        """Wait until nothing is marked: somebody sends it."""
        until(lambda: not asyncio.run(self._marked()), "what is marked to be sent")

    def said(self) -> int:
        """How many lines all processes said so far."""
        return sum(Path(process.log.name).read_bytes().count(b"\n") for process in self.processes)

    def work(self, seconds: float = 0.5) -> None:
        """Let the agents do some."""
        time.sleep(seconds)

    def end(self, excused: str = "") -> list[str]:
        """Let the agents stop. Each must have done something, and none have failed but with the error that is
        excused. What they said."""
        (self.folder / "end").touch()
        lines: list[str] = []
        for process in self.processes:
            if process.killed:  # the last number that was put may be one that it could not say any more
                said = Path(process.log.name).read_text().splitlines()
                lines += [line for line in said if line[:1] in "EC"]
                continue
            code = process.wait()
            errors = Path(process.errors.name).read_text()
            assert code == 0, (code, errors)
            said = Path(process.log.name).read_text().splitlines()
            counts = json.loads(said[-1].removeprefix("END "))
            errors = [error for error in counts["errors"] if not excused or not error.startswith(excused)]
            assert not errors, errors
            assert counts["steps"] > 0
            lines += said[:-1]
        return lines

    def audit(self, lines: list[str]) -> None:
        """Nothing that was acknowledged is lost or doubled, and both stores hold the same."""
        asyncio.run(self._audit(lines))

    async def _audit(self, lines: list[str]) -> None:
        config = read_config(self.folder / "hive-state.toml")
        async with open_store("moving", config=config, janitor=False) as hive:
            said = [line.split() for line in lines]
            states = {task.id: task.state async for task in hive.tasks.list()}
            assert not [words for words in said if words[0] == "E" and words[1] not in states], "lost"
            completed = {id for id, state in states.items() if state is TaskState.COMPLETED}
            assert not [words for words in said if words[0] == "C" and words[1] not in completed], "undone"
            effects = Counter([record.key.split("/")[0] async for record in hive.records.list("effects")])
            assert set(effects) == completed
            assert max(effects.values()) == 1, "done twice"
            newest: dict[str, int] = {}
            for words in said:
                if words[0] == "P":
                    newest[words[1]] = int(words[2])
            for name, number in newest.items():
                record = await hive.records.get("agents", name)
                assert record is not None
                assert record.value == number, "not the last that was acknowledged"

    def require_equal(self) -> None:
        """Once all that is marked was sent, both stores hold the same."""
        self.drain()
        local, prod = asyncio.run(self._exports())
        assert local == prod

    def drain(self) -> None:
        """Send all that is marked."""
        asyncio.run(self._drain())

    async def _marked(self) -> bool:
        async with self.both() as both:
            return any([await port.marks(PEER, 1) for port in (both.source, both.target)])

    def both(self) -> AbstractAsyncContextManager[Live]:
        """The two stores, each itself."""
        config = read_config(self.folder / "hive-state.toml")
        return live(choose("local", config), choose("prod", config))

    async def _drain(self) -> None:
        async with self.both() as both:
            worker = Worker(both)
            ports = both.source, both.target
            while any([await port.marks(PEER, 1) for port in ports]):
                await worker.turn()
            await worker.release()

    def export(self, name: str) -> bytes:
        return asyncio.run(self._export(name))

    async def _exports(self) -> list[bytes]:
        return [await self._export(name) for name in ("local", "prod")]

    async def _export(self, name: str) -> bytes:
        config = read_config(self.folder / "hive-state.toml")
        async with open_store(name, config=config, janitor=False, follow=False) as hive:
            return b"".join([line async for line in export_lines(hive.replication())])


def until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
