"""The judge of `test_processes.py`, which finds what is too old and nothing else."""

from __future__ import annotations

from math import inf

import pytest

from hive_state_core.features import Consistency

from .history import Told, too_old

LINEARIZABLE, BOUNDED, SESSION = Consistency.LINEARIZABLE, Consistency.BOUNDED, Consistency.SESSION


def told(process: str, kind: str, begun: float, ended: float, version: int) -> Told:
    return Told(process, kind, "k", begun, ended, version)


WRITES = [told("a", "write", 0, 1, 1), told("a", "write", 2, 3, 2)]


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        (told("b", "read", 4, 5, 2), []),
        (told("b", "read", 2.5, 5, 1), []),  # it began before the write was over
        (told("b", "read", 4, 5, 1), [LINEARIZABLE]),
        (told("b", "read", 14, 15, 1), [LINEARIZABLE, BOUNDED]),
        (told("a", "read", 4, 5, 1), [LINEARIZABLE, BOUNDED, SESSION]),
        (told("a", "read", 4, 5, 0), [LINEARIZABLE, BOUNDED, SESSION]),
    ],
)
def test_a_read_is_judged(read: Told, wrong: list[Consistency]) -> None:
    for level in Consistency:
        found = too_old([*WRITES, read], level, 10)
        assert len(found) == (level in wrong)


def test_a_read_of_another_counts() -> None:
    reads = [told("b", "read", 2.1, 2.2, 2), told("c", "read", 2.3, 2.4, 1)]
    assert too_old([*WRITES, *reads], LINEARIZABLE, 10)
    assert not too_old([*WRITES, *reads], BOUNDED, 10)


@pytest.mark.parametrize(
    ("begun", "ended", "version", "wrong"), [(4, 5, 3, 0), (4, inf, 0, 0), (9, 9.5, 4, 1)]
)
def test_what_is_gone_may_have_been_deleted(begun: float, ended: float, version: int, wrong: int) -> None:
    gone = told("b", "read", 6, 7, 0)
    assert (
        len(too_old([*WRITES, told("c", "delete", begun, ended, version), gone], LINEARIZABLE, 10)) == wrong
    )
