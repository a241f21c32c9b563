"""The functions that run in the server: one library of Lua, in files of one concept each.

A library is loaded once and stays, also over a restart and a fail-over. (A script is made anew by each call,
which costs more than most trips.) Its name is made of its text, so two versions of hive-state may use one
server side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

_PARTS = (
    "base",
    "trip",
    "records",
    "tasks",
    "task_bytes",
    "queues",
    "task_links",
    "task_places",
    "task_changes",
    "task_ops",
    "turning",
    "streams",
    "groups",
    "deliveries",
    "stream_ops",
    "commits",
    "notes",
    "lookup",
)
_FUNCTIONS = (
    ("quick", "commit_alike", "commit_alone", "commit"),
    ("handing", "ready_lanes", "claim_tasks", "claim_events", "claim_alike", "claim_alone", "claim"),
    ("sweep",),
    ("outcome",),
    ("read",),
    ("scan",),
    ("stream",),
    ("stats",),
    ("control",),
    ("clear",),
    ("images",),
    ("export",),
    ("load",),
    ("note",),
    ("schema",),
)
"""Each in files of its own, behind what all share. None sees another: Lua takes 200 names at once."""


class Library(NamedTuple):
    """A name, and the text that the server is given."""

    name: str
    source: str


@cache
def library() -> Library:
    """That of this version."""
    return named(_text(_PARTS) + "".join([f"do\n{_text(function)}end\n" for function in _FUNCTIONS]))


def _text(names: Sequence[str]) -> str:
    folder = files("hive_state_redis") / "lua"
    return "".join([(folder / f"{name}.lua").read_text() for name in names])


def named(text: str) -> Library:
    """A library of this text."""
    name = f"hive_{sha256(text.encode()).hexdigest()[:12]}"
    return Library(name, f'#!lua name={name}\nlocal LIBRARY = "{name}"\n{text}')
