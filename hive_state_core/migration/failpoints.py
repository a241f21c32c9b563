"""Places where a test may let a process die, sleep or fail. Nothing happens there unless a test says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

hook: Callable[[str], Awaitable[None]] | None = None
"""Put there by tests only."""

NAMES = (
    "prepare: standby made",
    "prepare: job noted",
    "dual: capture on",
    "copy: page read",
    "copy: page loaded",
    "copy: done",
    "pump: images read",
    "pump: loaded",
    "pump: cleared",
    "switch: caught up",
    "switch: sealed",
    "switch: drained",
    "switch: synced",
    "switch: moved",
    "switch: opened",
    "complete: source forgotten",
)


async def reached(name: str) -> None:
    if hook is not None:
        await hook(name)
