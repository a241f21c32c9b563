"""What a check is, and the list of all of them."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from hive_state_core.features import Facility

if TYPE_CHECKING:
    from hive_state_conformance.env import Env

SUITE_VERSION = "3"
"""Grows when a check comes, goes or changes its contract, so that "passes suite 3" says something."""

CONTRACT = "Contract: "

AREAS = {
    "A": "Records",
    "B": "Keys",
    "C": "Values",
    "D": "Compare and set",
    "E": "Atomic units",
    "F": "Expiry and sessions",
    "G": "Scans",
    "H": "Queues: order and enqueue",
    "I": "Queues: leases, retries, ends",
    "J": "Streams and groups",
    "K": "Checkpoints",
    "L": "Agents, and waiting for news",
    "M": "Cancellation and closing",
    "N": "Errors and limits",
    "O": "The store as a whole",
    "R": "Replication",
    "S": "Locks",
    "T": "Trips, at the driver",
}

BASE_AREAS = "ABCDE"

CHECK_MODULES = (
    "records",
    "keys",
    "values",
    "cas",
    "atomic",
    "expiry",
    "sessions",
    "locks",
    "scans",
    "scan_filters",
    "queues",
    "queue_rules",
    "leases",
    "lease_ends",
    "task_links",
    "task_picks",
    "streams",
    "stream_ends",
    "groups",
    "deliveries",
    "delivery_edges",
    "events",
    "checkpoints",
    "waking",
    "facets",
    "cancellation",
    "hygiene",
    "errors",
    "stores",
    "trips",
    "trip_order",
    "trip_outcomes",
    "control",
    "capture",
    "images",
    "pouring",
    "imports",
    "moving",
    "trip_deliveries",
)


class Tier(Enum):
    """How a check works: by example, or by many at once and an invariant."""

    SEMANTIC = "semantic"
    RACE = "race"


CheckFunction = Callable[["Env"], Awaitable[None]]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that every backend must do. `number` is its place in the area, for lists."""

    id: str
    area: str
    number: int
    tier: Tier
    needs: frozenset[Facility]
    contract: str
    run: CheckFunction


class NotRun(Exception):
    """Raised by a check, or by what it asks of its `Env`: it cannot be run here, and why.

    `physics` says that the backend's declared features make it so; such a check does not lower the level.
    """

    def __init__(self, reason: str, *, physics: bool = False) -> None:
        super().__init__(reason)
        self.physics = physics


_checks: dict[str, Check] = {}


def check(
    id: str,
    *,
    area: str,
    number: int,
    tier: Tier = Tier.SEMANTIC,
    needs: Iterable[Facility] = (),
) -> Callable[[CheckFunction], CheckFunction]:
    """Make a coroutine function a check. Its docstring is its contract: "Contract: ..."."""

    def register(run: CheckFunction) -> CheckFunction:
        text = " ".join((run.__doc__ or "").split())
        if not text.startswith(CONTRACT) or not text.endswith("."):
            raise ValueError(f"the docstring of check {id} must be a sentence that begins with {CONTRACT!r}")
        if area not in AREAS:
            raise ValueError(f"check {id} is of the unknown area {area!r}")
        if id in _checks and _checks[id].run.__qualname__ != run.__qualname__:
            raise ValueError(f"two checks have the id {id}")
        _checks[id] = Check(
            id=id,
            area=area,
            number=number,
            tier=tier,
            needs=frozenset(needs),
            contract=text.removeprefix(CONTRACT),
            run=run,
        )
        return run

    return register


@cache
def all_checks() -> tuple[Check, ...]:
    """Every check of the suite, by area and number."""
    for module in CHECK_MODULES:
        importlib.import_module(f"hive_state_conformance.checks.{module}")
    return tuple(sorted(_checks.values(), key=lambda check: (check.area, check.number, check.id)))


def find_check(id: str) -> Check:
    """Raises KeyError."""
    all_checks()
    return _checks[id]
