"""The cache protocol as a small machine, part two: what the fast server does, each in one go."""

from __future__ import annotations

from itertools import count

from .cache_states import Rules, State, fast


def entry_of(rules: Rules, state: State) -> int | None:
    """The version that it holds, None for nothing."""
    entry = state.fast.entry
    return None if entry is None or (rules.run_checked and entry[1] != state.fast.run) else entry[0]


def holder_of(rules: Rules, state: State) -> int:
    """Who has the lease, 0 for nobody."""
    lease = state.fast.lease
    return 0 if lease is None or (rules.run_checked and lease[1] != state.fast.run) else lease[0]


def held_leases(state: State) -> set[int]:
    """Those that somebody may still push with."""
    pushes = [lease for store in state.stores for _, lease in store.pushes]
    return {*pushes, *(one.lease for one in state.callers)}


def unused_lease(state: State) -> int:
    """A name that nobody has."""
    held = held_leases(state)
    return next(lease for lease in count(1) if lease not in held)


def answers(rules: Rules, state: State, s: int) -> bool:
    """Whether the cache may answer a Store."""
    beat = state.fast.beat
    if beat is not None and rules.run_checked and beat.run != state.fast.run:
        beat = None
    if rules.doubts and state.stores[s].doubt and (beat is None or s in beat.late):
        return False
    return not rules.gated or (beat is not None and beat.left > 0)


def put(rules: Rules, state: State, version: int) -> State:
    """A writer's push: it replaces what is older, and voids the lease where nothing is."""
    there = entry_of(rules, state)
    if there is None:
        if not rules.replaces_only:
            return _holding(state, version)
        return fast(state, entry=None, lease=None) if rules.write_voids else fast(state, entry=None)
    return _holding(state, version) if there < version or not rules.guarded else state


def push(rules: Rules, state: State, version: int, lease: int) -> State:
    """A reader's push."""
    there = entry_of(rules, state)
    if there is None:
        if (lease and holder_of(rules, state) == lease) or not rules.fill_needs_lease:
            return _holding(state, version)
        return fast(state, entry=None, lease=None) if rules.readers_push else state
    if not rules.readers_push and not lease:
        return state
    return _holding(state, version) if there < version else state


def drop(rules: Rules, state: State, version: int) -> State:
    """What is older than the version goes, and the lease of whoever may have read that."""
    there = entry_of(rules, state)
    if not rules.relay_drops:
        return _holding(state, version) if there is None or there < version else state
    return fast(state, entry=None, lease=None) if there is None or there < version else state


def _holding(state: State, version: int) -> State:
    return fast(state, entry=(version, state.fast.run), lease=None)
