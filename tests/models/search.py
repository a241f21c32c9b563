"""The migration protocol as a small machine, part three: every interleaving is tried, shortest first.

`python -m tests.models.search` searches the whole protocol with two writers and every fault at once.
"""

from __future__ import annotations

from functools import partial

from .exploring import way_to_wrong
from .protocol import steps
from .states import NEW, OLD, Record, Rules, State, start


def wrong(rules: Rules, state: State) -> str | None:
    """What is lost or doubled in this state; None: nothing."""
    opened = [place for place in (OLD, NEW) if state.stores[place].state == "open"]
    if len(opened) > 1:
        return "both stores are open"
    for place in opened:
        record = state.stores[place].record
        if state.latest and not _is_latest(state, record):
            return f"store {place} is open without the last acknowledged write"
    if _at_rest(state):
        old, new = (store.record for store in state.stores)
        if _content(old) != _content(new):
            return "at rest the stores differ"
    return None


def _is_latest(state: State, record: Record | None) -> bool:
    if record is None:
        return not state.latest_live
    return record.write == state.latest


def _content(record: Record | None) -> int | None:
    """What a reader gets."""
    return record.write if record is not None and record.live else None


def _at_rest(state: State) -> bool:
    return (
        all(writer.step in ("idle", "saw") for writer in state.writers)
        and state.pump.step == "idle"
        and state.copier.step == "done"
        and all(store.mark is None for store in state.stores)
        and state.asleep is None
        and state.coordinator.step == "idle"
    )


def violation(rules: Rules, first: State | None = None) -> list[str] | None:
    """The shortest way to something wrong: its steps, and what is wrong at the end. None: there is none."""
    begin = start() if first is None else first
    return way_to_wrong(begin, partial(steps, rules), partial(wrong, rules))


if __name__ == "__main__":
    print(violation(Rules()) or "nothing is lost or doubled, whatever the order")
