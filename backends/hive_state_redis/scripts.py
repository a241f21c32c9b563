"""The Lua scripts: each is a few files, one behind the other, so that what they share is written once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from hive_state_redis.connecting import Script

_TRIP = ("base", "trip", "records", "tasks")
_WHOLE = (*_TRIP, "streams")
PARTS = {
    "commit_records": ("base", "trip", "records", "commits", "commit"),
    "commit_tasks": (*_TRIP, "commits", "commit"),
    "commit": (*_WHOLE, "commits", "commit"),
    "claim": (*_WHOLE, "claim"),
    "outcome": ("base", "outcome"),
    "read": ("base", "lookup", "read"),
    "scan": ("base", "scan"),
    "stream": ("base", "stream"),
    "schema": ("base", "schema"),
    "stats": ("base", "stats"),
    "sweep": (*_WHOLE, "commits", "sweep"),
    "control": ("base", "control"),
    "clear": ("base", "clear"),
    "images": ("base", "lookup", "images"),
    "export": ("base", "export"),
    "load": (*_WHOLE, "commits", "notes", "load"),
    "note": ("base", "notes", "note"),
}
"""The files of each script."""


_READS = ("read", "scan", "stream", "stats", "images", "export")
"""Those that change nothing."""


@cache
def script(name: str) -> Script:
    """One of `PARTS`."""
    folder = files("hive_state_redis") / "lua"
    source = "".join([(folder / f"{part}.lua").read_text() for part in PARTS[name]])
    return Script(source, reads=name in _READS)
