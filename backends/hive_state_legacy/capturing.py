"""The triggers that note what the program of a file writes.

REPLACE deletes each row that has one of the new row's unique values, and fires no trigger of DELETE for it
(unless that program has set `recursive_triggers`). So those rows are noted before: a trigger of BEFORE looks
for them, by each UNIQUE index and by the number of the row. Which they will be cannot be told where a unique
value is computed from an expression, or where SQLite puts a default in the place of a NULL: of such a table
the keys have to be compared, see `changes.sweep`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hive_state_legacy.snapshot import Snapshot
from hive_state_legacy.tables import AGENTS, CHECKPOINTS, TASKS, Found, Layout, quoted

PREFIX = "hive_state_"
CHANGES = f"{PREFIX}changes"
CAPTURE = f"{PREFIX}capture_"
EVENTS = ("INSERT", "UPDATE", "DELETE")
SIDES = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}


class Unique(NamedTuple):
    """A UNIQUE index: its columns, each with its collation."""

    columns: tuple[tuple[str, str], ...]

    def same(self) -> str:
        """SQL: whether a row has the values of the new one here. One that is NULL is like no other."""
        return " AND ".join(
            f"{quoted(name)} = NEW.{quoted(name)} COLLATE {quoted(collation)}"
            for name, collation in self.columns
        )


class Triggers:
    """What there has to be in a file as it is now: SQL by the name of the trigger.

    blind  tables of which a REPLACE can delete rows unseen all the same
    """

    def __init__(self, snapshot: Snapshot, layout: Layout) -> None:
        self.sql: dict[str, str] = {}
        self.blind: list[Found] = []
        for found in layout.tables:
            uniques = list(_uniques(snapshot, found))
            known = [unique for unique in uniques if unique is not None]
            if len(known) < len(uniques):
                self.blind.append(found)
            self.sql |= dict(_after(found))
            self.sql |= dict(_before(found, known))


def _after(found: Found) -> Iterator[tuple[str, str]]:
    for event in EVENTS:
        notes = " ".join(
            f"INSERT INTO {CHANGES} (tbl, key, history) VALUES"
            f" ('{found.name}', {side}.{key_column(found)}, {_history(found, f'{side}.')});"
            for side in SIDES[event]
        )
        yield _trigger(found, "AFTER", event, notes)


def _before(found: Found, uniques: list[Unique]) -> Iterator[tuple[str, str]]:
    """A row with the key of the new one is noted after it."""
    key = key_column(found)
    taken = " OR ".join([f"{found.rowid} = NEW.{found.rowid}", *(f"({each.same()})" for each in uniques)])
    note = (
        f"INSERT INTO {CHANGES} (tbl, key, history) SELECT '{found.name}', {key}, {_history(found)}"
        f" FROM {found.name} WHERE ({taken}) AND {key} COLLATE BINARY IS NOT NEW.{key};"
    )
    for event in ("INSERT", "UPDATE"):
        yield _trigger(found, "BEFORE", event, note)


def _trigger(found: Found, when: str, event: str, body: str) -> tuple[str, str]:
    name = f"{CAPTURE}{found.name}_{when.lower()}_{event.lower()}"
    return name, f"CREATE TRIGGER {name} {when} {event} ON {found.name} BEGIN {body} END"


def key_column(found: Found) -> str:
    """What names a row of it in the list of changes."""
    return found.table.needed[0] if found.table in (AGENTS, TASKS) else found.rowid


def _history(found: Found, side: str = "") -> str:
    """The name of the history that a row is in, where a table has several."""
    return f"{side}{CHECKPOINTS.needed[0]}" if found.table is CHECKPOINTS else "NULL"


def _uniques(snapshot: Snapshot, found: Found) -> Iterator[Unique | None]:
    """Those by which REPLACE may find a row; None for one that cannot be looked at beforehand."""
    about = snapshot.rows(f"PRAGMA table_info({found.name})")
    defaulted = {name for _, name, _, not_null, default, _ in about if not_null and default is not None}
    for _, index, unique, *_ in list(snapshot.rows(f"PRAGMA index_list({found.name})")):
        if unique:
            columns = snapshot.rows(f"PRAGMA index_xinfo({quoted(index.decode())})")
            named = [(name, collation.decode()) for _, _, name, _, collation, key in columns if key]
            if any(name is None or name in defaulted for name, _ in named):
                yield None
            else:
                yield Unique(tuple((name.decode(), collation) for name, collation in named))
