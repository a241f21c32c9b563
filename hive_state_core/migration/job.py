"""What is remembered of a migration: a note in both stores says that they belong together, and one in the
target how far the copy has come, written in the transaction of what was copied."""

from __future__ import annotations

from uuid import uuid4

import msgspec

from hive_state_core.spi import KINDS, Kind, Notes, Replication

JOB = "migration"
CURSOR = "migration/cursor"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`source`, `target`: store ids. `term`: of the seal under which it copies; whoever finds the source in
    another one knows that it was open in between, and that the copy is worth nothing."""

    id: str
    source: str
    target: str
    term: int


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Everything up to `after` of `kind` is copied, and all of the kinds before it."""

    kind: Kind = KINDS[0]
    after: tuple[str | int, ...] | None = None
    copied: dict[Kind, int] = {}
    done: bool = False


def new_job(source: str, target: str, term: int) -> Job:
    return Job(id=uuid4().hex, source=source, target=target, term=term)


async def read_job(port: Replication) -> Job | None:
    data = (await port.notes()).get(JOB)
    return None if data is None else msgspec.json.decode(data, type=Job)


async def read_cursor(port: Replication) -> Cursor:
    data = (await port.notes()).get(CURSOR)
    return Cursor() if data is None else msgspec.json.decode(data, type=Cursor)


def noted(job: Job) -> Notes:
    return {JOB: msgspec.json.encode(job)}


def marked(cursor: Cursor) -> Notes:
    return {CURSOR: msgspec.json.encode(cursor)}


FORGOTTEN: Notes = {JOB: None, CURSOR: None}
