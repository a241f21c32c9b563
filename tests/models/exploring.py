"""Every interleaving of a small machine is tried, shortest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

State = TypeVar("State", bound=Hashable)


def way_to_wrong(
    first: State,
    steps: Callable[[State], Iterable[tuple[str, State]]],
    wrong: Callable[[State], str | None],
    most: int | None = None,
) -> list[str] | None:
    """The shortest way to something wrong: its steps, and what is wrong at the end. None: there is none.

    most  states that are looked at, those of the shortest ways first; None = all
    """
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])
    while queue and (most is None or len(came_from) < most):
        state = queue.popleft()
        found = wrong(state)
        if found:
            return [*_way_to(state, came_from), found]
        for label, following in steps(state):
            if following not in came_from:
                came_from[following] = (state, label)
                queue.append(following)
    return None


def anything_wrong(
    first: State,
    steps: Callable[[State], Iterable[tuple[str, State]]],
    wrong: Callable[[State], str | None],
) -> str | None:
    """What is wrong in any state that can be reached, None: nothing. Of states that were seen only hashes are
    kept, so there may be a great many; two of a million have the same one with a chance of 1 to 10^7."""
    seen, queue = {hash(first)}, deque([first])
    while queue:
        state = queue.popleft()
        found = wrong(state)
        if found:
            return found
        for _, following in steps(state):
            mark = hash(following)
            if mark not in seen:
                seen.add(mark)
                queue.append(following)
    return None


def _way_to(state: State, came_from: dict[State, tuple[State, str] | None]) -> list[str]:
    way = []
    while (step := came_from[state]) is not None:
        state, label = step
        way.append(label)
    return way[::-1]
