"""How far a live migration is, and for how long it takes still, as `migrate status` says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hive_state_core.migration.live import Live
    from hive_state_core.migration.phases import Situation


async def progress_of(live: Live, seen: Situation, rows: dict[str, int]) -> dict[str, Any]:
    """The keys `doing`, `done`, `left_s`, of about so many rows as the source counts."""
    from hive_state_core.migration.phases import Phase
    from hive_state_core.migration.presence import instant
    from hive_state_core.migration.progress import read_progress

    now = await instant(live.drivers[1])
    found = await read_progress(live.target, now)
    copies = seen.phase is Phase.DUAL
    rests = copies and seen.job is not None and seen.job.paused
    if found is None or rests or (found.doing == "copying") is not copies:
        return {"doing": None, "done": None, "left_s": None}
    total = sum(rows.values()) if copies else _compared_of(rows)
    left = found.left_s(total, now)
    return {
        "doing": found.doing,
        "done": round(min(found.rows / total, 1.0), 3) if total else None,
        "left_s": None if left is None else round(left, 1),
    }


def _compared_of(rows: dict[str, int]) -> int:
    """How many rows a comparison looks at: events once, the others as a reader sees them too."""
    return 2 * sum(rows.values()) - rows["event"]


def in_words(found: dict[str, Any]) -> str | None:
    """copying, 41 %, about 3 min left"""
    if found["doing"] is None:
        return None
    words = [found["doing"]]
    if found["done"] is not None:
        words.append(f"{100 * found['done']:.0f} %")
    if found["left_s"] is not None:
        words.append(f"about {_for_people(found['left_s'])} left")
    return ", ".join(words)


def _for_people(seconds: float) -> str:
    """45 s, 3 min, 2 h 5 min"""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
