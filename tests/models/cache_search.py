"""The cache protocol as a small machine, part four: every interleaving is tried, shortest first.

`python -m tests.models.cache_search` searches each level with every fault at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import perf_counter

from .cache_protocol import steps
from .cache_server import answers, entry_of, held_leases
from .cache_states import (
    BEAT,
    BOUND,
    LEVELS,
    NOBODY,
    Budget,
    Rules,
    State,
    Step,
    Store,
    durable,
    fast,
    start,
    store,
)
from .exploring import anything_wrong, way_to_wrong


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
    """The state without what makes no difference any more: states that differ in nothing else are one."""
    for s, own in enumerate(state.stores):
        if own.told and own.told != state.durable.mark and rules.clears_by_version:
            state = store(state, s, told=0)  # a mark that is not there is not to be cleared
    lease = state.fast.lease
    if lease is not None and lease[0] not in held_leases(state):
        state = fast(state, lease=(NOBODY, lease[1]))
    doubting = {s for s, own in enumerate(state.stores) if own.doubt}
    beat, relay = state.fast.beat, state.relay
    if not doubting >= relay.late:
        state = state._replace(relay=relay._replace(late=relay.late & doubting))
    if beat is not None and not doubting >= beat.late:
        state = fast(state, beat=beat._replace(late=beat.late & doubting))
    if state.saved is not None and not state.budget.restarts:
        state = state._replace(saved=None)
    if not rules.gated:
        state = _timeless(state)
    stores = tuple([_plain(own) for own in state.stores])
    return _mirrored(state if stores == state.stores else state._replace(stores=stores))


def _plain(own: Store) -> Store:
    """Its pushes end in any order; and nothing is older than version 1."""
    if len(own.pushes) < 2 and own.owed != 1 and own.beside[0] != 1:
        return own
    return own._replace(
        pushes=tuple(sorted(own.pushes)),
        owed=own.owed if own.owed > 1 else 0,
        beside=own.beside if own.beside[0] > 1 else (0, 0),
    )


def _timeless(state: State) -> State:
    """Where nothing depends on a beat's end, or on a version's age."""
    beat, ages = state.fast.beat, (BOUND,) * len(state.durable.ages)
    state = fast(state, beat=beat and beat._replace(left=BEAT))
    return durable(state, ages=ages)._replace(relay=state.relay._replace(age=0))


def _mirrored(state: State) -> State:
    """Of two callers that may change places, or two Stores with theirs, always the same one is first."""
    if len(state.callers) != 2 or _looks(state, 0) <= _looks(state, 1):
        return state
    swapped = state._replace(callers=state.callers[::-1], stores=state.stores[::-1])
    if len(state.stores) == 1:
        return swapped
    beat, relay = state.fast.beat, state.relay
    swapped = fast(swapped, beat=beat and beat._replace(late=_other(beat.late)))
    swapped = durable(swapped, fences=_other(state.durable.fences))
    return swapped._replace(relay=relay._replace(late=_other(relay.late)))


def _looks(state: State, i: int) -> int:
    """Of a caller, and of its Store if that is its alone."""
    if len(state.stores) == 1:
        return hash(state.callers[i])
    beat, relay = state.fast.beat, state.relay
    late = beat is not None and i in beat.late
    return hash((state.callers[i], state.stores[i], i in state.durable.fences, late, i in relay.late))


def _other(stores: frozenset[int]) -> frozenset[int]:
    return frozenset(1 - s for s in stores) if stores else stores


def violation(rules: Rules, first: State, most: int | None = None) -> list[str] | None:
    """The shortest way to something wrong: its steps, and what is wrong at the end. None: there is none.

    most  states that are looked at, those of the shortest ways first; None = all
    """
    return way_to_wrong(first, partial(_steps, rules), partial(wrong, rules), most)


def anywhere(rules: Rules, first: State) -> str | None:
    """What is wrong in any state, None: nothing. Takes less memory than `violation`, and tells no way."""
    return anything_wrong(first, partial(_steps, rules), partial(wrong, rules))


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
