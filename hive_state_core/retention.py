"""How long what has come to its end is kept."""

from __future__ import annotations

import msgspec

from hive_state_core import spi, validate
from hive_state_core.limits import VERSION_MAX
from hive_state_core.validate import Duration

DAY = 24 * 3600

COUNTS = ("events_count", "checkpoints", "snapshots")
"""The fields that are numbers of things and no durations."""


class Retention(spi.Retention, frozen=True, kw_only=True):
    """What a driver's sweep removes, and how streams are trimmed. Durations in milliseconds; None = for ever,
    which all but tombstones and the memory of commits and trips is by default.

    events        age after which events are removed, in every stream of the user's
    events_count  how many events are kept in each of these
    checkpoints   how many checkpoints are kept of each name
    snapshots     how many snapshots of the system are kept

    An event that some consumer group has not finished is kept, and so are all after it.
    """

    events: int | None = None
    events_count: int | None = None
    checkpoints: int | None = None
    snapshots: int | None = None


def retention(
    *,
    completed: Duration | None = None,
    cancelled: Duration | None = None,
    dead: Duration | None = None,
    tombstones: Duration | None = DAY,
    commits: Duration | None = DAY,
    events: Duration | None = None,
    events_count: int | None = None,
    checkpoints: int | None = None,
    snapshots: int | None = None,
) -> Retention:
    """A Retention from durations in seconds or as timedelta; see there."""

    def count(value: int | None, what: str) -> int | None:
        return None if value is None else validate.integer(value, what, 1, VERSION_MAX)

    return Retention(
        completed=validate.optional_duration(completed, "completed"),
        cancelled=validate.optional_duration(cancelled, "cancelled"),
        dead=validate.optional_duration(dead, "dead"),
        tombstones=validate.optional_duration(tombstones, "tombstones"),
        commits=validate.optional_duration(commits, "commits"),
        events=validate.optional_duration(events, "events"),
        events_count=count(events_count, "events_count"),
        checkpoints=count(checkpoints, "checkpoints"),
        snapshots=count(snapshots, "snapshots"),
    )


def retention_of(given: spi.Retention) -> Retention:
    """The same with the fields for streams, which are "for ever" where it has none."""
    return given if isinstance(given, Retention) else Retention(**msgspec.structs.asdict(given))
