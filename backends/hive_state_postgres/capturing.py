"""Marks and Gones: kept by triggers, so that no write path can forget them.

The triggers are always there, and do nothing unless the transaction has said that there are sinks: `enter`
does so, which every write trip begins with. To make and remove them with the sinks would need rights that a
hive does not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hive_state_core.spi import CACHE


class _Entity(NamedTuple):
    """A table, and what names a row of it. `removed`: a delete leaves no row of its own."""

    table: str
    kind: str
    name: str
    part: str = ""
    seq: str = ""
    removed: bool = False


ENTITIES = (
    _Entity("records", "record", "collection", "key"),
    _Entity("tasks", "task", "id", removed=True),
    _Entity("queues", "queue", "queue"),
    _Entity("commits", "commit", "id", removed=True),
    _Entity("streams", "stream", "stream"),
    _Entity("groups", "group", "stream", "grp", removed=True),
    _Entity("pending", "pending", "stream", "grp", "seq", removed=True),
)
"""What happens to events, the stream tells."""

_SINKS = "current_setting('hive_state.sinks', true)"
_WHEN_WANTED = {True: f"{_SINKS} <> ''", False: f"{_SINKS} NOT IN ('', '{CACHE}')"}
"""By whether it is a record: others have no mark for a cache."""


def creation() -> Iterator[str]:
    """The functions and triggers, `hive.` being the schema."""
    for entity in ENTITIES:
        name = f"capture_{entity.table}"
        yield _function(name, entity)
        when = _WHEN_WANTED[entity.kind == "record"]
        events = "INSERT OR UPDATE OR DELETE" if entity.removed else "INSERT OR UPDATE"
        yield (
            f"CREATE OR REPLACE TRIGGER {name} AFTER {events} ON hive.{entity.table}"
            f" FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION hive.{name}()"
        )


def _function(name: str, entity: _Entity) -> str:
    body = f"PERFORM hive.mark(new.ns, {_place(entity, 'new')}, new.version);"
    if entity.removed:
        body = f"""
    IF TG_OP = 'DELETE' THEN
        PERFORM hive.bury(old.ns, {_place(entity, "old")});
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        DELETE FROM hive.gone WHERE (ns, kind, name, part, seq) = (new.ns, {_place(entity, "new")});
    END IF;
    {body}"""
    return (
        f"CREATE OR REPLACE FUNCTION hive.{name}() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN {body} RETURN NULL; END $$"
    )


def _place(entity: _Entity, row: str) -> str:
    part = f"{row}.{entity.part}" if entity.part else "''"
    seq = f"{row}.{entity.seq}" if entity.seq else "0"
    return f"'{entity.kind}', {row}.{entity.name}, {part}, {seq}"
