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
_WANTED = f"{_SINKS} NOT IN ('', '{CACHE}')"
_UNTOLD = f"'{CACHE}' = ANY (string_to_array({_SINKS}, E'\\n'))"
_TELL = """
INSERT INTO hive.written (ns, version, collections, keys)
SELECT ns, version, array_agg(collection), array_agg(key) FROM changed GROUP BY ns, version"""


def creation() -> Iterator[str]:
    """The functions and triggers, `hive.` being the schema."""
    for entity in ENTITIES:
        name = f"capture_{entity.table}"
        yield _function(name, entity)
        events = "INSERT OR UPDATE OR DELETE" if entity.removed else "INSERT OR UPDATE"
        yield (
            f"CREATE OR REPLACE TRIGGER {name} AFTER {events} ON hive.{entity.table}"
            f" FOR EACH ROW WHEN ({_WANTED}) EXECUTE FUNCTION hive.{name}()"
        )
    yield from _for_cache()


def _for_cache() -> Iterator[str]:
    """A row for all records that a statement writes: a mark for each would cost more than the write."""
    yield (
        "CREATE OR REPLACE FUNCTION hive.tell_cache() RETURNS trigger LANGUAGE plpgsql AS $$"
        f" BEGIN {_TELL}; RETURN NULL; END $$"
    )
    for event in ("INSERT", "UPDATE"):
        yield (
            f"CREATE OR REPLACE TRIGGER tell_cache_{event.lower()} AFTER {event} ON hive.records"
            f" REFERENCING NEW TABLE AS changed FOR EACH STATEMENT WHEN ({_UNTOLD})"
            " EXECUTE FUNCTION hive.tell_cache()"
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
