"""The migration protocol loses and doubles nothing, in any interleaving; each weakening of it does.

The weakenings are those of other projects' bugs (a position taken before the writes ended, a fence outside
the transaction, a delete that is forgotten too early, ...). The whole search, which takes a minute, is
`python -m tests.models.search`; here it is cut in three.
"""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from .search import violation
from .states import Budget, Rules, start

pytestmark = pytest.mark.no_cover  # nothing of the product runs here

RULES = Rules()

ENDS = {
    "load_if_newer": "at rest the stores differ",
    "tombstones": "at rest the stores differ",
    "fence_in_write": "at rest the stores differ",
    "marks": "at rest the stores differ",
    "clear_by_version": "at rest the stores differ",
    "seal_then_drain": "store 1 is open without the last acknowledged write",
    "decide": "both stores are open",
    "terms": "at rest the stores differ",
    "control_in_store": "store 1 is open without the last acknowledged write",
    "exclusive_fence": "at rest the stores differ",
    "start_under_fence": "at rest the stores differ",
    "sweep_tombstones": "at rest the stores differ",
    "open_unsynced": "store 1 is open without the last acknowledged write",
}
"""Where the shortest way of each weakening ends."""


def test_every_weakening_is_tried() -> None:
    assert list(ENDS) == [field.name for field in fields(Rules)]


@pytest.mark.parametrize("weakened", ENDS)
def test_a_weakening_is_found(weakened: str) -> None:
    way = violation(replace(RULES, **{weakened: not getattr(RULES, weakened)}))
    assert way is not None
    assert way[-1] == ENDS[weakened]


def test_the_hole_of_capture() -> None:
    """A writer that saw capture off commits after it went on: not marked, and not copied either."""
    way = violation(replace(RULES, exclusive_fence=False))
    assert way is not None
    reads, goes_on, commits = (
        next(n for n, step in enumerate(way) if word in step)
        for word in ("reads the control", "goes on", "commits")
    )
    assert reads < goes_on < commits


@pytest.mark.parametrize(
    ("writers", "budget"),
    [
        (1, Budget()),
        (2, Budget(crashes=0)),
        (2, Budget(unseals=0, returns=0)),
    ],
    ids=["one writer, all faults", "two writers, no crash", "two writers, a crash, one way"],
)
def test_the_protocol_holds(writers: int, budget: Budget) -> None:
    assert violation(RULES, start(writers, budget)) is None
