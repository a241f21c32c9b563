"""Images on their way in: each is written if it is newer than what is there.

What goes where nothing is yet, as a copy into a standby does, is sent by COPY; the rest by upserts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from hive_state_core.control import require_loadable
from hive_state_core.images import instant_of, key_of, kind_of
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import EventImage, Gone, Image, RecordImage, StreamImage, TaskImage
from hive_state_core.naming import name_of
from hive_state_core.spi import Control, ControlState, Kind, Notes
from hive_state_postgres.controlling import require_expected, write_notes
from hive_state_postgres.dialing import Connection
from hive_state_postgres.errors import dropped
from hive_state_postgres.exporting import TABLES
from hive_state_postgres.loadrows import COLUMNS, Row, load_row
from hive_state_postgres.statements import Statements
from hive_state_postgres.yielding import without_clashes

COPY_FROM = 100
"""Images of one kind from which on COPY pays."""

CHUNK = 100
"""Rows in a statement, at most: others on this event loop have their turns between them."""


async def load(
    db: Connection,
    statements: Statements,
    ns: int,
    images: Sequence[Image],
    notes: Notes,
    expect: Control | None,
) -> int:
    """How many were newer."""
    async with db.transaction():
        row = await db.fetchrow(statements.named("load_enter"), ns)
        if row["state"] is None:
            raise dropped()
        await require_expected(db, statements, ns, expect)
        state = ControlState(row["state"])
        highest = max([image.version for image in images], default=0)
        require_loadable(state, highest)
        if state is ControlState.OPEN and (streams := _streams_of(images)):
            await db.execute(statements.named("load_lock_streams"), ns, streams)
        written = await _Load(db, statements, ns, row["gones"]).run(images)
        # What is imported into an open store was timed by another clock, which may be wrong.
        floor = 0 if state is ControlState.OPEN else max(map(instant_of, images), default=0)
        orders = max([image.order for image in images if isinstance(image, TaskImage)], default=0)
        await db.execute(statements.named("control_above"), ns, floor, orders, highest)
        await write_notes(db, statements, ns, notes)
    return written


class _Load:
    """Inside the transaction."""

    def __init__(self, db: Connection, statements: Statements, ns: int, gones: bool) -> None:
        self._db = db
        self._ns = ns
        self._statements = statements
        self._gones = gones

    async def run(self, images: Sequence[Image]) -> int:
        written = 0
        for gone in images:
            if isinstance(gone, Gone):
                written += await self._bury(gone)
                self._gones = True
        by_kind: dict[Kind, list[Image]] = defaultdict(list)
        for image in await self._not_gone([image for image in images if not isinstance(image, Gone)]):
            by_kind[kind_of(image)].append(image)
        for kind, group in by_kind.items():
            if await self._is_free(kind, group):
                await self._copy(kind, group)
                written += len(group)
            else:
                written += await self._upsert(kind, group)
        await self._settle(by_kind)
        return written

    async def _execute(self, name: str, *arguments: object) -> None:
        await self._db.execute(self._statements.named(name), self._ns, *arguments)

    async def _value(self, name: str, *arguments: object) -> Any:
        return await self._db.fetchval(self._statements.named(name), self._ns, *arguments)

    # -- by COPY

    async def _is_free(self, kind: Kind, images: Sequence[Image]) -> bool:
        """Whether nothing lies between the first and the last of many that come in order, without doubles."""
        if len(images) < COPY_FROM:
            return False
        if any(one >= other for one, other in pairwise(map(key_of, images))):
            return False
        if kind == "event" and await self._value("load_streams", _streams_of(images)):
            return False  # some of them may have been trimmed already
        table, bounds = TABLES[kind], (*key_of(images[0]), *key_of(images[-1]))
        places = [f"${n}" for n in range(2, len(bounds) + 2)]
        lows, highs = ", ".join(places[: len(table.key)]), ", ".join(places[len(table.key) :])
        key = ", ".join(table.key)
        statement = (
            f"SELECT 1 FROM hive.{table.name}"
            f" WHERE ns = $1 AND ({key}) >= ({lows}) AND ({key}) <= ({highs}) LIMIT 1"
        )
        return await self._db.fetchval(self._statements.qualify(statement), self._ns, *bounds) is None

    async def _copy(self, kind: Kind, images: Sequence[Image]) -> None:
        if kind == "task":
            images = await without_clashes(self._db, self._statements, self._ns, images)
        for rows in _chunks(self._rows(images)):
            await self._db.copy_records_to_table(
                TABLES[kind].name, schema_name=self._statements.schema, columns=COLUMNS[kind], records=rows
            )

    # -- by upsert

    async def _upsert(self, kind: Kind, images: Sequence[Image]) -> int:
        images = sorted(images, key=lambda image: (key_of(image), image.version))
        if kind == "task":
            await self._execute("load_unlink", [key_of(image)[0] for image in images])
            images = await without_clashes(self._db, self._statements, self._ns, images)
        if kind == "event":
            return len(await self._db.fetchmany(self._statements.named("load_event"), [*self._rows(images)]))
        latest = {key_of(image): image for image in images}
        statement = self._statements.qualify(_upsert_statement(kind))
        written = 0
        for rows in _chunks(self._rows(latest.values())):
            written += int((await self._db.execute(statement, rows)).split()[-1])
        return written

    def _rows(self, images: Iterable[Image]) -> Iterator[Row]:
        return (load_row(self._ns, image) for image in images)

    # -- what was deleted

    async def _bury(self, gone: Gone) -> bool:
        """Leave a Gone in the place of what is older, and of what is not there."""
        name = name_of(gone.ref)
        if (await self._value("gone_read", *name.place) or 0) >= gone.version:
            return False
        table = TABLES[name.kind]
        where = " AND ".join(f"{column} = ${n}" for n, column in enumerate(("ns", *table.key), 1))
        place = f"hive.{table.name} WHERE {where}"
        found = await self._db.fetchval(
            self._statements.qualify(f"SELECT version FROM {place} FOR UPDATE"), self._ns, *name.key
        )
        if found is not None and found >= gone.version:
            return False
        if name.kind == "task":  # children that count it go on counting it
            await self._execute("load_uncounted", *name.key)
            await self._execute("load_unlink", [*name.key])
        await self._db.execute(self._statements.qualify(f"DELETE FROM {place}"), self._ns, *name.key)
        await self._execute("load_gone", *name.place, gone.version)
        return True

    async def _not_gone(self, images: Sequence[Image]) -> Sequence[Image]:
        """Those that no Gone of a higher version stands for; a lower one ends."""
        if not self._gones:
            return images
        return [image for image in images if await self._outlives(image)]

    async def _outlives(self, image: Image) -> bool:
        if isinstance(image, EventImage | RecordImage):
            return True
        place = name_of(image.ref).place
        await self._execute("gone_older", *place, image.version)
        return await self._value("gone_read", *place) is None

    # -- what goes with an image

    async def _settle(self, by_kind: dict[Kind, list[Image]]) -> None:
        """Edges of tasks, and the events that a stream has lost."""
        tasks = [image for image in by_kind.get("task", ()) if isinstance(image, TaskImage)]
        if any(task.parents for task in tasks):
            await self._execute("load_link", [task.ref.id for task in tasks])
        streams = [image.ref.stream for image in by_kind.get("stream", ()) if isinstance(image, StreamImage)]
        if streams:
            await self._execute("load_trim", streams)


def _streams_of(images: Sequence[Image]) -> list[str]:
    """Those that there are events of."""
    return sorted({image.stream for image in images if isinstance(image, EventImage)})


def _upsert_statement(kind: Kind) -> str:
    """Of rows of the table's own type, no two with one key: a statement for each would cost the server four
    times as much."""
    table, columns = TABLES[kind], COLUMNS[kind]
    names, key = ", ".join(columns), ("ns", *table.key)
    sets = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return (
        f"INSERT INTO hive.{table.name} AS t ({names}) SELECT {names} FROM unnest($1::hive.{table.name}[])"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets} WHERE excluded.version > t.version"
    )


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Of up to CHUNK rows, and of values up to about REPLY_BYTES: the server takes each as a whole. Rows are
    made as they are asked for."""
    chunk: list[Row] = []
    room = REPLY_BYTES
    for row in rows:
        chunk.append(row)
        room -= sum([len(value) for value in row if isinstance(value, bytes)])
        if len(chunk) == CHUNK or room < 0:
            yield chunk
            chunk, room = [], REPLY_BYTES
    if chunk:
        yield chunk
