"""Every mutant is found out by the check that it names, which the right driver passes.

On a loop whose clock the machine does not move: whether a mutant dies is no matter of time, and those that
wait for ever are found out at once.
"""

from __future__ import annotations

import asyncio

import pytest

from hive_state_conformance.checking import find_check
from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.mutants import MUTANTS, MutantHarness
from hive_state_conformance.mutants.base import Mutant
from hive_state_conformance.prompt_loop import PromptLoop, instant
from hive_state_conformance.report import Result, Status
from hive_state_conformance.runner import run_check
from hive_state_memory.driver import Memory

RIGHT = UrlHarness("memory://mutants")


PAIRS = [(name, id) for name, kind in MUTANTS.items() for id in kind.killed_by]


@pytest.fixture(autouse=True)
def clock_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memory, "clock", staticmethod(instant))


def result_of(id: str, kind: type[Mutant]) -> Result:
    with asyncio.Runner(loop_factory=PromptLoop) as runner:
        return runner.run(run_check(find_check(id), MutantHarness(RIGHT, kind)))


@pytest.mark.parametrize(("name", "id"), PAIRS)
def test_mutant_is_killed(name: str, id: str) -> None:
    result = result_of(id, MUTANTS[name])
    assert result.status is Status.FAILED, f"{id} does not find out {name}"


@pytest.mark.parametrize("id", sorted({id for _, id in PAIRS}))
def test_right_driver_lives(id: str) -> None:
    result = result_of(id, Mutant)
    assert result.status is Status.PASSED, result.reason
