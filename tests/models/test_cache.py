"""No level of the cache protocol returns what is too old, in any interleaving; each weakening of it does.

The weakenings are those of caches that people run (a reader that fills late, a delete that erases what
guards, an outbox that fills in, a server that comes back with what it held, ...). Here most searches end
after so many states, those of the shortest ways first; `python -m tests.models.cache_search` ends none.
"""

from __future__ import annotations

import os
from dataclasses import fields, replace

import pytest

from .cache_search import anywhere, violation
from .cache_states import LEVELS, Budget, Rules, start

pytestmark = pytest.mark.no_cover  # nothing of the product runs here

LINEARIZABLE, BOUNDED = LEVELS["linearizable"], LEVELS["bounded"]
SHARED = replace(BOUNDED, near=False)

OLD_READ = "a read returns {}, and must not return less than {}"
OLD_REST = "at rest the cache holds what is old"

Weakened = tuple[Rules, Budget, tuple[int, int], bool, str]

WEAKENED: dict[str, Weakened] = {
    "guarded": (LINEARIZABLE, Budget(2), (1, 2), False, OLD_READ.format(2, 3)),
    "replaces_only": (LINEARIZABLE, Budget(2, crashes=1), (1, 2), False, OLD_READ.format(2, 3)),
    "write_voids": (LINEARIZABLE, Budget(1), (1, 2), False, OLD_READ.format(1, 2)),
    "fill_needs_lease": (LINEARIZABLE, Budget(1), (1, 2), False, OLD_READ.format(1, 2)),
    "readers_push": (LINEARIZABLE, Budget(1), (1, 2), False, OLD_READ.format(1, 2)),
    "relay_drops": (LINEARIZABLE, Budget(2, evictions=1), (1, 2), False, OLD_READ.format(2, 3)),
    "marks": (BOUNDED, Budget(1, crashes=1), (1, 2), False, OLD_REST),
    "clears_by_version": (SHARED, Budget(2, crashes=1), (1, 1), True, OLD_REST),
    "settles_pushed": (BOUNDED, Budget(1, failures=1), (1, 2), True, OLD_REST),
    "beats_drained": (SHARED, Budget(1, crashes=1), (1, 1), True, OLD_READ.format(1, 2)),
    "beats_from_before": (SHARED, Budget(1, crashes=1), (1, 1), True, OLD_READ.format(1, 2)),
    "write_waits": (LINEARIZABLE, Budget(1, failures=1), (1, 2), False, OLD_READ.format(1, 2)),
    "read_waits": (LINEARIZABLE, Budget(1, failures=1), (1, 2), False, OLD_READ.format(1, 2)),
    "fence_heard": (LINEARIZABLE, Budget(1, failures=1), (1, 1), True, OLD_READ.format(1, 2)),
    "fences_first": (LINEARIZABLE, Budget(1, failures=1), (1, 1), True, OLD_READ.format(1, 2)),
    "announces": (LINEARIZABLE, Budget(1, failures=2), (1, 1), True, OLD_READ.format(1, 2)),
    "announces_first": (LINEARIZABLE, Budget(1, failures=2), (1, 1), True, OLD_READ.format(1, 2)),
    "off_when_waited": (LINEARIZABLE, Budget(1, failures=1), (2, 2), True, OLD_READ.format(1, 2)),
    "pushes_unfenced": (LINEARIZABLE, Budget(1, failures=1), (2, 2), True, OLD_READ.format(1, 2)),
    "run_checked": (LINEARIZABLE, Budget(1, restarts=1), (1, 2), False, OLD_REST),
    "owes": (BOUNDED, Budget(1), (1, 2), False, OLD_READ.format(1, 2)),
    "owed_when_asked": (BOUNDED, Budget(1), (1, 2), False, OLD_READ.format(1, 2)),
    "doubts": (BOUNDED, Budget(1, failures=1), (1, 2), False, OLD_READ.format(1, 2)),
    "remembers": (SHARED, Budget(1), (2, 2), True, OLD_READ.format(1, 2)),
    "near_guarded": (BOUNDED, Budget(1), (1, 2), False, OLD_READ.format(1, 2)),
    "near_yields": (BOUNDED, Budget(1), (1, 2), False, OLD_READ.format(1, 2)),
    "near_from_before": (BOUNDED, Budget(1), (1, 2), False, OLD_READ.format(1, 2)),
    "near_from_beat": (BOUNDED, Budget(1, crashes=1), (1, 1), True, OLD_READ.format(1, 2)),
    "near_ends": (BOUNDED, Budget(1), (2, 2), True, OLD_READ.format(1, 2)),
    "near_closes": (BOUNDED, Budget(1, evictions=1), (1, 2), False, OLD_READ.format(1, 2)),
}
"""Rules, what may happen, Stores and callers, whether the caches are full; where the shortest way ends."""


def test_every_weakening_is_tried() -> None:
    assert list(WEAKENED) == [field.name for field in fields(Rules) if field.default is True]


@pytest.mark.parametrize("flag", WEAKENED)
def test_a_weakening_is_found(flag: str) -> None:
    rules, budget, shape, warm, end = WEAKENED[flag]
    weakened = replace(rules, **{flag: False})
    way = violation(weakened, start(weakened, budget, *shape, warm=warm), most=100_000)
    assert way is not None
    assert way[-1] == end


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("fault", ["failures", "crashes", "evictions", "restarts"])
def test_a_level_holds(level: str, fault: str) -> None:
    rules, budget = LEVELS[level], Budget(1)._replace(**{fault: 1})
    for shape in ((1, 1), (1, 2), (2, 2)):
        assert violation(rules, start(rules, budget, *shape), most=3_000) is None


@pytest.mark.parametrize("fault", ["failures", "crashes", "evictions"])
def test_linearizable_holds_to_the_end(fault: str) -> None:
    budget = Budget(1)._replace(**{fault: 1})
    assert violation(LINEARIZABLE, start(LINEARIZABLE, budget, 1, 2)) is None


@pytest.mark.skipif(os.environ.get("HIVE_STATE_FAULTS") != "all", reason="takes minutes: nox -s faults")
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("level", ["bounded", "session"])
@pytest.mark.parametrize("fault", ["", "failures", "crashes", "evictions", "restarts"])
def test_a_level_holds_to_the_end(level: str, fault: str) -> None:
    """One caller with every fault, and two of one Store without."""
    rules = LEVELS[level]
    budget = Budget(1)._replace(**{fault: 1}) if fault else Budget(1)
    assert anywhere(rules, start(rules, budget, 1, 1 if fault else 2)) is None


def test_what_is_wrong_anywhere_is_found() -> None:
    weakened = replace(LINEARIZABLE, write_voids=False)
    assert anywhere(weakened, start(weakened, Budget(1), 1, 2)) is not None
