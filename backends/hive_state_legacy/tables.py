"""The tables of an original hive, and what of them a file has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from hive_state_core.errors import SchemaMismatch

if TYPE_CHECKING:
    from hive_state_legacy.snapshot import Cell, Snapshot


class Table(msgspec.Struct, frozen=True):
    """`needed`: without these columns nothing can be made of a row. The others have defaults."""

    name: str
    needed: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.needed + self.others


AGENTS = Table(
    "agents",
    ("agent_id", "status"),
    ("current_task_id", "context_usage", "last_activity", "capabilities", "performance_metrics"),
)
TASKS = Table(
    "tasks",
    ("task_id", "status"),
    ("agent_id", "priority", "created_at", "started_at", "completed_at", "metadata"),
)
CHECKPOINTS = Table("checkpoints", ("checkpoint_name", "timestamp", "data"), ("id",))
SNAPSHOTS = Table(
    "system_snapshots",
    ("timestamp",),
    (
        "id",
        "total_agents",
        "active_agents",
        "total_tasks",
        "completed_tasks",
        "failed_tasks",
        "average_context_usage",
        "quality_score",
    ),
)
TABLES = (AGENTS, TASKS, CHECKPOINTS, SNAPSHOTS)
"""In the order in which they are read."""


class Row(msgspec.Struct, frozen=True):
    """A row as it lies in the file: `cells` are all its columns, those that we do not know too."""

    table: str
    rowid: int
    cells: dict[str, Cell]


class Found(msgspec.Struct, frozen=True):
    """A table that the file has. `rowid` is the word that names the row's number: a column may hide one."""

    table: Table
    columns: tuple[str, ...]
    rowid: str

    @property
    def name(self) -> str:
        return self.table.name


class Layout:
    """What the snapshot has of the tables. Raises SchemaMismatch if that cannot be the file of a hive."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._path = snapshot.path
        objects = {name.decode(): (kind.decode(), bare) for name, kind, bare in snapshot.rows(_OBJECTS)}
        known = tuple(table.name for table in TABLES)
        if not objects.keys() & {*known}:
            raise self._mismatch(f"it has none of the tables {', '.join(known)}")
        self.missing: tuple[str, ...] = tuple(name for name in known if name not in objects)
        self.foreign: tuple[str, ...] = tuple(
            sorted(name for name, (kind, _) in objects.items() if name not in known and kind == "table")
        )
        self.tables: tuple[Found, ...] = tuple(
            self._find(table, *objects[table.name]) for table in TABLES if table.name in objects
        )

    def find(self, table: Table) -> Found | None:
        return next((found for found in self.tables if found.table is table), None)

    def warnings(self) -> list[str]:
        """What the file has and an import leaves behind, and what it lacks. Whole sentences."""
        said = [f"the file has no table {name}" for name in self.missing]
        said += [
            f"the table {name} is not one of an original hive's: it is not imported" for name in self.foreign
        ]
        for found in self.tables:
            known, name = found.table.columns, found.name
            said += [
                f"the column {column} of {name} is not one of an original hive's: it is not imported"
                for column in found.columns
                if column not in known
            ]
            said += [
                f"the table {name} has no column {column}: a default is taken"
                for column in known
                if column not in found.columns
            ]
        return said

    def count(self, found: Found) -> int:
        ((count,),) = self._snapshot.rows(f"SELECT count(*) FROM {found.name}")
        return int(count)

    def rows(self, found: Found, rowid: int | None = None) -> Iterator[Row]:
        """All rows, in the order of their numbers; or the one of that number, if it is there."""
        sql = f"SELECT {found.rowid}, {_listed(found)} FROM {found.name}"
        which = "" if rowid is None else f" WHERE {found.rowid} = {int(rowid)}"
        for rowid, *cells in self._snapshot.rows(f"{sql}{which} ORDER BY {found.rowid}"):
            yield Row(found.name, rowid, dict(zip(found.columns, cells, strict=True)))

    def row(self, found: Found, rowid: int) -> Row:
        sql = f"SELECT {_listed(found)} FROM {found.name} WHERE {found.rowid} = ?"
        (cells,) = self._snapshot.rows(sql, (rowid,))
        return Row(found.name, rowid, dict(zip(found.columns, cells, strict=True)))

    def rowids(self, found: Found, *columns: str) -> Iterator[int]:
        """All rows by their numbers, in the order of these columns (by the bytes of the file's encoding)."""
        by = "".join(f"{column} COLLATE BINARY, " for column in columns)
        for (rowid,) in self._snapshot.rows(
            f"SELECT {found.rowid} FROM {found.name} ORDER BY {by}{found.rowid}"
        ):
            yield rowid

    def there(self, found: Found, rowids: Iterable[int]) -> list[int]:
        """Those of these rows that the table has."""
        listed = ", ".join(map(str, sorted(rowids)))
        sql = f"SELECT {found.rowid} FROM {found.name} WHERE {found.rowid} IN ({listed})"
        return [rowid for (rowid,) in self._snapshot.rows(sql)]

    def with_key(self, found: Found, column: str, key: object) -> list[int]:
        """The numbers of the rows with this there: a text, or whatever else lies in its place."""
        from hive_state_legacy.snapshot import Text

        value = "CAST(? AS TEXT)" if isinstance(key, Text) else "?"  # one that is no valid Unicode
        sql = f"SELECT {found.rowid} FROM {found.name} WHERE {column} COLLATE BINARY IS {value}"
        return [rowid for (rowid,) in self._snapshot.rows(sql, (key,))]

    def doubles(self, found: Found, column: str, without: frozenset[int]) -> frozenset[Cell]:
        """Keys that several rows have, not counting the rows `without`."""
        several = f"SELECT {column} FROM {found.name} GROUP BY {column} COLLATE BINARY HAVING count(*) > 1"
        sql = f"SELECT {column}, {found.rowid} FROM {found.name} WHERE {column} COLLATE BINARY IN ({several})"
        keys = [key for key, rowid in self._snapshot.rows(sql) if rowid not in without]
        return frozenset(key for key, count in Counter(keys).items() if count > 1)

    def _find(self, table: Table, kind: str, bare: int) -> Found:
        if kind != "table":
            raise self._mismatch(f"{table.name} is a {kind}; only tables are imported")
        about = f"PRAGMA table_info({table.name})"
        columns = tuple(name.decode(errors="replace").lower() for _, name, *_ in self._snapshot.rows(about))
        for column in table.needed:
            if column not in columns:
                raise self._mismatch(f"the table {table.name} has no column {column}")
        rowid = next((word for word in ("rowid", "_rowid_", "oid") if word not in columns), None)
        if rowid is None or bare:
            raise self._mismatch(f"the rows of {table.name} have no numbers (WITHOUT ROWID)")
        return Found(table, columns, rowid)

    def _mismatch(self, why: str) -> SchemaMismatch:
        message = f"{self._path} is not the file of an original hive: {why}"
        return SchemaMismatch(message, found=None, expected=0)


def _listed(found: Found) -> str:
    return ", ".join(map(quoted, found.columns))


def quoted(name: str) -> str:
    """As SQL has it."""
    return '"' + name.replace('"', '""') + '"'


_OBJECTS = """
SELECT lower(name), type, wr FROM pragma_table_list
WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
"""
