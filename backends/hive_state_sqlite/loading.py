"""Images on their way in: each is written if it is newer than what is there."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from hive_state_core.control import require_loadable, require_same
from hive_state_core.image_rows import highest, image_of, latest
from hive_state_core.images import instant_of, kind_of
from hive_state_core.model import Gone, Image, TaskImage
from hive_state_core.naming import Name, name_of
from hive_state_core.spi import Control, ControlState, ImageRow, Kind, Notes
from hive_state_sqlite import rows, statements
from hive_state_sqlite.connection import dropped
from hive_state_sqlite.loadrows import load_row
from hive_state_sqlite.notes import write_notes
from hive_state_sqlite.rows import Row

_dump = msgspec.json.Encoder().encode

_LOAD: dict[Kind, str] = {
    "record": statements.LOAD_RECORD,
    "task": statements.LOAD_TASK,
    "queue": statements.LOAD_QUEUE,
    "event": statements.LOAD_EVENT,
    "stream": statements.LOAD_STREAM,
    "pending": statements.LOAD_PENDING,
    "group": statements.LOAD_GROUP,
    "commit": statements.LOAD_COMMIT,
}


def load(
    db: sqlite3.Connection, ns: int, images: Sequence[Image], notes: Notes, expect: Control | None
) -> int:
    """How many were newer. Inside a write transaction."""
    version = max([image.version for image in images], default=0)
    state = _enter(db, ns, version, expect)
    gones = [image for image in images if isinstance(image, Gone)]
    written = sum([_bury(db, ns, gone) for gone in gones])
    groups: dict[Kind, list[Image]] = defaultdict(list)
    for image in _not_gone(db, ns, images):
        groups[kind_of(image)].append(image)
    for kind, group in groups.items():
        if kind == "task":
            _forget_edges(db, ns, group)
        written += db.executemany(_LOAD[kind], [load_row(ns, image) for image in group]).rowcount
    _settle(db, ns, groups)
    orders = max([image.order for image in images if isinstance(image, TaskImage)], default=0)
    _go_on_above(db, ns, state, max(map(instant_of, images), default=0), orders, version)
    write_notes(db, ns, notes)
    return written


def pour(
    db: sqlite3.Connection,
    ns: int,
    kind: Kind,
    rows: Sequence[ImageRow],
    notes: Notes,
    expect: Control | None,
) -> int:
    """As `load` of their images. Those of tasks are made: edges and Gones go with them."""
    if kind == "task":
        return load(db, ns, [image_of(kind, row) for row in rows], notes, expect)
    version = highest(kind, "version", rows)
    state = _enter(db, ns, version, expect)
    written = db.executemany(_LOAD[kind], [(ns, *row) for row in rows]).rowcount
    _go_on_above(db, ns, state, latest(kind, rows), 0, version)
    write_notes(db, ns, notes)
    return written


def _enter(db: sqlite3.Connection, ns: int, version: int, expect: Control | None) -> ControlState:
    """Raises unless images up to this version may be loaded."""
    found = db.execute("SELECT state, store_id, epoch FROM control WHERE ns = ?", (ns,)).fetchone()
    if found is None:
        raise dropped()
    state = ControlState(found[0])
    require_same(found[1], found[2], expect)
    require_loadable(state, version)
    return state


def _go_on_above(
    db: sqlite3.Connection, ns: int, state: ControlState, instant: int, order: int, version: int
) -> None:
    """What the store gives from now on is higher."""
    # What is imported into an open store was timed by another clock, which may be wrong.
    clock = 0 if state is ControlState.OPEN else instant
    db.execute(statements.CONTROL_ABOVE, (ns, clock, order, version))


# -- what was deleted


def _bury(db: sqlite3.Connection, ns: int, gone: Gone) -> bool:
    """Leave a Gone in the place of what is older, and of what is not there."""
    name = name_of(gone.ref)
    place = (ns, *name.place)
    if _gone_version(db, place) >= gone.version or not _remove(db, ns, name, gone.version):
        return False
    db.execute(statements.GONE_WRITE, (*place, gone.version))
    db.execute(statements.MARK_WRITE, (*place, gone.version))
    return True


def _remove(db: sqlite3.Connection, ns: int, name: Name, version: int) -> bool:
    """False: what is there is not older. Children that count a removed task go on counting it."""
    from hive_state_sqlite.exporting import TABLES

    table = TABLES[name.kind]
    where = " AND ".join(f"{column} = ?" for column in ("ns", *table.key))
    found = db.execute(f"SELECT version FROM {table.name} WHERE {where}", (ns, *name.key)).fetchone()
    if found is None or found[0] >= version:
        return found is None
    children = db.execute(statements.LOAD_CHILDREN, (ns, *name.key)).fetchall() if name.kind == "task" else []
    db.execute(f"DELETE FROM {table.name} WHERE {where}", (ns, *name.key))
    db.executemany(statements.TASK_CHILD_INSERT, [(ns, name.key[0], child) for (child,) in children])
    return True


def _not_gone(db: sqlite3.Connection, ns: int, images: Sequence[Image]) -> Iterable[Image]:
    """Those that no Gone of a higher version stands for; a lower one ends."""
    some = db.execute("SELECT 1 FROM gone WHERE ns = ? LIMIT 1", (ns,)).fetchone()
    for image in images:
        if isinstance(image, Gone):
            continue
        if some and kind_of(image) not in ("record", "event"):
            place = (ns, *name_of(image.ref).place)  # type: ignore[union-attr]
            if _gone_version(db, place) >= image.version:
                continue
            db.execute(statements.GONE_DELETE, place)
        yield image


def _gone_version(db: sqlite3.Connection, place: Row) -> int:
    row = db.execute(statements.GONE_READ, place).fetchone()
    return 0 if row is None else int(row[0])


# -- what goes with an image


def _forget_edges(db: sqlite3.Connection, ns: int, tasks: Sequence[Image]) -> None:
    """Of tasks that are there with other parents."""
    newer: dict[str, TaskImage] = {}
    for image in sorted(tasks, key=lambda image: image.version):
        if isinstance(image, TaskImage):
            newer[image.ref.id] = image
    ids = _dump(list(newer)).decode()
    for id, version, parents in db.execute(statements.LOAD_PARENTS, (ns, ids)).fetchall():
        old = rows.load_names(parents)
        if version < newer[id].version and old != newer[id].parents:
            edges = [(ns, parent, id) for parent in old]
            db.executemany("DELETE FROM task_children WHERE (ns, parent, child) = (?, ?, ?)", edges)


def _settle(db: sqlite3.Connection, ns: int, groups: dict[Kind, list[Image]]) -> None:
    """Edges of tasks, and the events that a stream has lost."""
    tasks = [image for image in groups.get("task", ()) if isinstance(image, TaskImage)]
    children = [(ns, task.ref.id) for task in tasks if task.parents]
    if children:
        db.executemany(statements.LOAD_EDGES, children)
    streams = [(ns, image.ref.stream) for image in groups.get("stream", ())]  # type: ignore[union-attr]
    if streams:
        db.executemany(statements.LOAD_TRIM, streams)
