"""The cache protocol as a small machine, part four: every interleaving is tried, shortest first.

`python -m tests.models.cache_search` searches each level with every fault at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import perf_counter

from .cache_protocol import steps
from .cache_server import answers, entry_of, held_leases
from .cache_states import LEVELS, NOBODY, Budget, Rules, State, Step, fast, start, store
from .exploring import way_to_wrong


def wrong(rules: Rules, state: State) -> str | None:
    """What is older in this state than the level allows; None: nothing."""
    if state.wrong:
        return state.wrong
    if _at_rest(state):
        there = entry_of(rules, state)
        usable = any(answers(rules, state, s) for s in range(len(state.stores)))
        if there is not None and there < state.durable.latest and usable:
            return "at rest the cache holds what is old"
    return None


def _at_rest(state: State) -> bool:
    return (
        all(caller.step == "idle" for caller in state.callers)
        and not any(store.pushes for store in state.stores)
        and state.relay.step == "idle"
        and not state.durable.mark
    )


def _canonical(rules: Rules, state: State) -> State:
    """A lease that nobody will use any more is nobody's; a mark that is not there is not to be cleared."""
    for s, own in enumerate(state.stores):
        if own.told and own.told != state.durable.mark and rules.clears_by_version:
            state = store(state, s, told=0)
    lease = state.fast.lease
    unused = lease is not None and lease[0] not in held_leases(state)
    return fast(state, lease=(NOBODY, lease[1])) if lease is not None and unused else state


def violation(rules: Rules, first: State, most: int | None = None) -> list[str] | None:
    """The shortest way to something wrong: its steps, and what is wrong at the end. None: there is none.

    most  states that are looked at, those of the shortest ways first; None = all
    """
    return way_to_wrong(first, partial(_steps, rules), partial(wrong, rules), most)


def _steps(rules: Rules, state: State) -> Iterator[Step]:
    for label, following in steps(rules, state):
        yield label, _canonical(rules, following)


FAULTS = (
    Budget(1, failures=1),
    Budget(1, crashes=1),
    Budget(1, evictions=1),
    Budget(1, restarts=1),
    Budget(2),
)

if __name__ == "__main__":
    for name, rules in LEVELS.items():
        for budget in FAULTS:
            for shape in ((2, 2), (1, 2)):
                began = perf_counter()
                found = violation(rules, start(rules, budget, *shape))
                print(name, budget, shape, found or "nothing is too old", f"{perf_counter() - began:.0f} s")
