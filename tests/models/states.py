"""The migration protocol as a small machine, part one: what there is. One key, two stores, writers, a
copier, a pump, and a coordinator that may die, be resumed, or wake up late.

`Rules` says how things are done; each of its flags turned over is a mistake that somebody made before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

OLD, NEW = 0, 1

Version = tuple[int, int]
"""(term, counter)"""


@dataclass(frozen=True)
class Rules:
    """The protocol; False (True for the last three) is the mistake in the comment."""

    load_if_newer: bool = True  # images are written blindly
    tombstones: bool = True  # a delete leaves nothing on the other side
    fence_in_write: bool = True  # the control row is read before the write's transaction
    marks: bool = True  # the second write is made once, and nothing remembers it
    clear_by_version: bool = True  # a mark is cleared whatever its version is now
    seal_then_drain: bool = True  # marks are counted before the seal
    decide: bool = True  # the target opens without a compare-and-set on the source
    terms: bool = True  # each store counts versions on its own
    control_in_store: bool = True  # a process goes by its configuration
    exclusive_fence: bool = True  # capture goes on while a writer that saw it off is under way
    start_under_fence: bool = True  # the copy's start version is read before capture goes on
    sweep_tombstones: bool = False  # tombstones are swept while the peer's sink is active
    open_unsynced: bool = False  # the target opens before the marks are drained


class Record(NamedTuple):
    version: Version
    live: bool
    write: int  # which write it was, the first is 1; 0 is what was there before


class Store(NamedTuple):
    record: Record | None
    state: str  # open, sealed, moved, standby
    term: int
    capture: bool
    mark: Version | None
    counter: int


class Writer(NamedTuple):
    """`step`: idle, saw (it read the control row, and will commit), apply, clear (its own second write)."""

    step: str = "idle"
    store: int = OLD
    term: int = 1
    capture: bool = False  # as it saw it
    image: Record | None = None


class Copier(NamedTuple):
    """`start`: below this version it copies."""

    step: str = "off"  # off, (waiting,) ready, read, done
    start: Version = (0, 0)
    image: Record | None = None


class Pump(NamedTuple):
    step: str = "idle"
    store: int = OLD
    mark: Version | None = None
    image: Record | None = None


class Coordinator(NamedTuple):
    step: str = "idle"  # idle, capturing, measured, sealed, drained, decided
    source: int = OLD
    term: int = 0


class Budget(NamedTuple):
    """How often each may still happen."""

    writes: int = 2
    crashes: int = 1
    unseals: int = 1
    switches: int = 1
    returns: int = 1


class State(NamedTuple):
    stores: tuple[Store, Store]
    writers: tuple[Writer, ...]
    copier: Copier
    pump: Pump
    coordinator: Coordinator
    asleep: Coordinator | None  # a coordinator that was paused, and will go on where it was
    budget: Budget
    latest: int  # the last write that was acknowledged
    latest_live: bool


Step = tuple[str, State]


def start(writers: int = 2, budget: Budget = Budget()) -> State:  # noqa: B008  it is immutable
    old = Store(Record((0, 0), True, 0), "open", 1, capture=False, mark=None, counter=0)
    new = Store(None, "standby", 0, capture=False, mark=None, counter=0)
    idle = tuple(Writer() for _ in range(writers))
    return State((old, new), idle, Copier(), Pump(), Coordinator(), None, budget, 0, True)


# --- small changes


def at(state: State, place: int, /, **changes: object) -> State:
    """One store changed."""
    stores = list(state.stores)
    stores[place] = stores[place]._replace(**changes)
    return state._replace(stores=(stores[0], stores[1]))


def spent(state: State, name: str) -> State:
    left: int = getattr(state.budget, name)
    return state._replace(budget=state.budget._replace(**{name: left - 1}))


def loaded(rules: Rules, state: State, place: int, image: Record | None) -> State:
    """`image` (None: removed without a trace) reaches a store."""
    there = state.stores[place].record
    if image is not None and rules.load_if_newer and there is not None and there.version >= image.version:
        return state
    if rules.tombstones or image is None or image.live:
        return at(state, place, record=image)
    return at(state, place, record=None)


def cleared(rules: Rules, state: State, place: int, version: Version | None) -> State:
    same = state.stores[place].mark == version
    return at(state, place, mark=None) if same or not rules.clear_by_version else state
