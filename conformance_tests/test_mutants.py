"""Every mutant is found out by the check that it names, which the right driver passes."""

from __future__ import annotations

import asyncio

import pytest

from hive_state_conformance.checking import find_check
from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.mutants import MUTANTS, MutantHarness
from hive_state_conformance.mutants.base import Mutant
from hive_state_conformance.report import Status
from hive_state_conformance.runner import run_check

RIGHT = UrlHarness("memory://mutants")


PAIRS = [(name, id) for name, kind in MUTANTS.items() for id in kind.killed_by]


@pytest.mark.parametrize(("name", "id"), PAIRS)
def test_mutant_is_killed(name: str, id: str) -> None:
    check = find_check(id)
    result = asyncio.run(run_check(check, MutantHarness(RIGHT, MUTANTS[name]), timeout=10))
    assert result.status is Status.FAILED, f"{check.id} does not find out {name}"


@pytest.mark.parametrize("id", sorted({id for _, id in PAIRS}))
def test_right_driver_lives(id: str) -> None:
    result = asyncio.run(run_check(find_check(id), MutantHarness(RIGHT, Mutant), timeout=30))
    assert result.status is Status.PASSED, result.reason
