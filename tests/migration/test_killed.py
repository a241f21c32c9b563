"""Whoever moves a hive may die at any step: the next one goes on, and nothing is lost or doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hive_state_core import open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.migration.opening import opened
from hive_state_core.migration.running import Move
from hive_state_core.spi import ControlState

from .conftest import populate
from .test_move import Dead, exported, go, row

WRITES = ("control", "load", "pour", "note")


class Mortal:
    """A port whose user dies at the n-th write, before it or after it."""

    def __init__(self, port: Any, life: list[int], after: bool) -> None:
        self._port = port
        self._life = life
        self._after = after

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._port, name)
        return self._mortal(verb) if name in WRITES else verb

    def _mortal(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any, **named: Any) -> Any:
            self._life[0] -= 1
            if self._life[0] == 0 and not self._after:
                raise Dead
            answer = await verb(*arguments, **named)
            if self._life[0] == 0:
                raise Dead
            return answer

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_death_at_every_step(new_store: Callable[[str], Choice], after: bool) -> None:
    survived = 0
    for step in range(1, 100):
        source, target = new_store("memory"), new_store("memory")
        await populate(source, 1)
        wanted = await exported(source)
        async with opened(source, target, lambda *_: None) as ready:
            if not await _dies(ready, step, after):
                survived = step
                break
        states = [(await row(choice)).state for choice in (source, target)]
        assert states.count(ControlState.OPEN) <= 1 or states == [ControlState.OPEN] * 2, states
        await _finish(source, target)
        assert await exported(target) == await exported(source) == wanted
        async with open_store(target) as hive:
            await hive.records.put("c", "k", 1)
    assert survived > 20, "it died too seldom"


async def _finish(source: Choice, target: Choice) -> None:
    """The same command once more; all that may be left to do is nothing."""
    if (await row(source)).state is ControlState.MOVED and (await row(target)).state is ControlState.OPEN:
        return
    assert (await go(source, target)).clean


async def _dies(move: Move, step: int, after: bool) -> bool:
    life = [step]
    move.source = Mortal(move.source, life, after)  # type: ignore[assignment]
    move.target = Mortal(move.target, life, after)  # type: ignore[assignment]
    try:
        await move.run(batch=20)
    except Dead:
        return True
    return False


async def test_killed_processes(tmp_path: Path) -> None:
    """kill -9 at random instants, and the same command again until it comes to its end."""
    urls = [f"sqlite:///{tmp_path}/{name}.db?synchronous=NORMAL" for name in ("one", "other")]
    async with open_store(urls[0]) as hive:
        await hive.records.put_many("c", {f"{n}": n for n in range(1000)})
        await hive.records.put_many("d", {f"{n}": n for n in range(1000)})
        await hive.tasks.enqueue_many("q", list(range(500)))
    # One row a transaction: it takes longer than the first process may live, however quick the machine.
    command = [
        sys.executable,
        "-m",
        "hive_state_core.cli",
        "migrate",
        "run",
        "--offline",
        "--batch-size",
        "1",
        "--json",
    ]
    killed = 0
    for _ in range(40):
        process = subprocess.Popen([*command, "--from", urls[0], "--to", urls[1]], stdout=subprocess.PIPE)
        try:
            output, _ = process.communicate(timeout=0.3 + random.random() * 0.7 if killed < 5 else 50)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            continue
        assert process.returncode == 0, output
        break
    assert killed > 0
    async with open_store(urls[1]) as hive:
        assert await hive.records.count("c") == 1000
        assert await hive.tasks.count(queue="q") == 500
    one, other = [await exported(choose(url)) for url in urls]
    assert one == other
