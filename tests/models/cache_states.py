"""The cache protocol as a small machine, part one: what there is. One key; a durable store that is the truth;
a fast server that may evict, be cut off, be restarted empty or with old data; Stores whose callers read and
write; a relay.

Versions are 1, 2, 3, ... Time is counted in ticks, which come at any moment. `Rules` says how things are
done; each of its flags turned over is a mistake that somebody made before, or could.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

BEAT = 2
"""Ticks for which a beat lets the cache answer, counted from before the relay looked for marks."""

BOUND = BEAT
"""No read of level `bounded` misses a commit that is so many ticks old. So long may be told what was the
latest: what was read in the durable store from then on, what the cache told from its beat on. In the code the
bound is longer than a beat, by `near_ttl`; here that would only make the search longer."""

NOBODY = 9
"""Holds the lease of a caller that is gone."""

WRITTEN = -1
"""In place of a lease: pushed by a writer."""


@dataclass(frozen=True)
class Rules:
    """A level is its first four; False in the others is the mistake in the comment."""

    waits: bool  # what is not known to have reached the cache is not told before no cache can hide it
    gated: bool  # the cache answers only under a beat
    near: bool  # a Store keeps what it read or wrote for a moment
    beside: bool  # a read may pass the cache by; what was read there is remembered, and told to nobody else

    guarded: bool = True  # what is older replaces what is newer
    replaces_only: bool = True  # a writer fills an empty place
    write_voids: bool = True  # a writer that finds nothing leaves the lease of a slow reader alone
    fill_needs_lease: bool = True  # a reader fills an empty place without the lease
    readers_push: bool = True  # a reader without the lease keeps what it saw to itself
    relay_drops: bool = True  # the relay fills in what it found marked
    marks: bool = True  # nothing remembers a write whose writer dies
    clears_by_version: bool = True  # a mark is cleared whatever its version is now
    settles_pushed: bool = True  # a Store clears the mark of what it failed to push
    beats_drained: bool = True  # the relay beats although marks are left
    beats_from_before: bool = True  # a beat counts from when it is given
    write_waits: bool = True  # a write whose push failed is told at once
    read_waits: bool = True  # so is a read
    fence_heard: bool = True  # the relay does not look whether a Store is cut off
    fences_first: bool = True  # the relay looks for fences after it has looked for marks
    announces: bool = True  # the relay beats without having said that the cache may answer
    announces_first: bool = True  # the relay does not look for fences again once it has said so
    off_when_waited: bool = True  # a Store that is cut off says that no cache answers before it has waited
    pushes_unfenced: bool = True  # a Store takes its fence away before it pushes again
    run_checked: bool = True  # what a server held before it was restarted is taken for good
    owes: bool = True  # a Store forgets what it has written
    owed_when_asked: bool = True  # what is owed is looked up when the answer comes
    doubts: bool = True  # a failed push is forgotten
    remembers: bool = True  # so is what was read beside the cache
    near_guarded: bool = True  # a near entry is replaced by an older one that took long
    near_yields: bool = True  # a near entry stays when its Store writes
    near_from_before: bool = True  # a near entry counts from when the answer came
    near_from_beat: bool = True  # what the cache told counts as the latest when it was asked
    near_ends: bool = True  # a near entry has no end
    near_closes: bool = True  # what was asked for before a near entry was thrown away is kept


LEVELS = {
    "linearizable": Rules(waits=True, gated=True, near=False, beside=False),
    "bounded": Rules(waits=False, gated=True, near=True, beside=True),
    "session": Rules(waits=False, gated=False, near=True, beside=False),
}


class Durable(NamedTuple):
    """`ages`: of each version, ticks since its commit. `fences`: Stores that are cut off from the cache.
    `on`: it says that the cache may answer."""

    latest: int = 1
    ages: tuple[int, ...] = ()
    mark: int = 0
    fences: frozenset[int] = frozenset()
    on: bool = True


class Beat(NamedTuple):
    """`late` for these Stores: it began before their last failure."""

    left: int
    run: int
    late: frozenset[int]


class Fast(NamedTuple):
    """`entry`: (version, run of the server in which it came); `lease`: (holder, run)."""

    entry: tuple[int, int] | None = None
    lease: tuple[int, int] | None = None
    beat: Beat | None = None
    run: int = 1


class Near(NamedTuple):
    """A guard (it keeps older ones out) for longer than it may be used."""

    version: int
    use: int
    guard: int


class Store(NamedTuple):
    """seen    what its callers were told at most
    owed    what it wrote or read, and is not known to have reached the cache
    pushes  those that are under way while their callers were answered: versions and leases, `WRITTEN` if none
    told    what it wrote and has pushed last: it may clear the mark of that
    doubt   a push failed: no cache that does not know of it by a later beat
    fence   None; the ticks that are left until no cache can answer; 0: none does
    beside  what was read beside the cache (nothing older is told), and for how many ticks that is remembered
    """

    seen: int = 1
    owed: int = 0
    pushes: tuple[tuple[int, int], ...] = ()
    told: int = 0
    doubt: bool = False
    near: Near | None = None
    fence: int | None = None
    beside: tuple[int, int] = (0, 0)


class Caller(NamedTuple):
    """`step`: idle, read, push, told; put; stuck (it waits for its Store's fence). `must`: a read that
    returns less is wrong. `owed`: as it was when it asked. `use`: ticks for which the answer may be told.
    `closed`: its Store threw away what was near since it asked."""

    step: str = "idle"
    version: int = 0
    lease: int = 0
    owed: int = 0
    use: int = 0
    must: int = 0
    closed: bool = False


class Relay(NamedTuple):
    """`step`: idle, began, off, heard, marked, dropped, drained. `cut`: it has heard of a fence."""

    step: str = "idle"
    mark: int = 0
    age: int = 0
    late: frozenset[int] = frozenset()
    cut: bool = False


class Budget(NamedTuple):
    """How often each may still happen."""

    writes: int = 2
    failures: int = 0
    crashes: int = 0
    evictions: int = 0
    restarts: int = 0


class State(NamedTuple):
    durable: Durable
    fast: Fast
    saved: Fast | None  # what the server would find on its disk
    stores: tuple[Store, ...]
    callers: tuple[Caller, ...]
    relay: Relay
    budget: Budget
    told: int  # at most, to anybody
    wrong: str | None = None

    def store_of(self, caller: int) -> int:
        return min(caller, len(self.stores) - 1)


Step = tuple[str, State]


def start(rules: Rules, budget: Budget, stores: int = 2, callers: int = 2, warm: bool = False) -> State:
    """The last Store has the callers that are left over. `warm`: the caches hold what there is."""
    near = Near(1, BOUND, BOUND) if warm and rules.near else None
    return State(
        Durable(ages=() if rules.waits else (BOUND,)),
        Fast(entry=(1, 1) if warm else None, beat=Beat(BEAT, 1, frozenset())),
        None,
        (Store(near=near),) * stores,
        (Caller(),) * callers,
        Relay(),
        budget,
        1,
    )


# --- small changes


def caller(state: State, i: int, /, **changes: object) -> State:
    callers = list(state.callers)
    callers[i] = callers[i]._replace(**changes)
    return state._replace(callers=tuple(callers))


def store(state: State, s: int, /, **changes: object) -> State:
    stores = list(state.stores)
    stores[s] = stores[s]._replace(**changes)
    return state._replace(stores=tuple(stores))


def fast(state: State, /, **changes: object) -> State:
    return state._replace(fast=state.fast._replace(**changes))


def durable(state: State, /, **changes: object) -> State:
    return state._replace(durable=state.durable._replace(**changes))


def spent(state: State, name: str) -> State:
    left: int = getattr(state.budget, name)
    return state._replace(budget=state.budget._replace(**{name: left - 1}))
