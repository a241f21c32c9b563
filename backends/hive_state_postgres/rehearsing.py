"""The first trip of a connection takes many times as long as those after it: the server compiles functions,
and plans their statements, once for every connection. Before a whole hive comes here at once, a connection
learns them by trips in a namespace that is never there for anybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from hive_state_core.model import RecordRef, TaskRef
from hive_state_core.spi import (
    CACHE,
    PEER,
    Batch,
    ClaimTasks,
    Complete,
    ControlState,
    Enqueue,
    Extend,
    Put,
    Touch,
    VersionIs,
)
from hive_state_postgres import controlling, reading
from hive_state_postgres.alone import ONE_TASK, call_alone
from hive_state_postgres.claiming import claim_arguments
from hive_state_postgres.dialing import Connection
from hive_state_postgres.encoding import Encoded
from hive_state_postgres.statements import Statements

QUEUE = "rehearsal"
LEASE = 60_000


async def rehearse(db: Connection, statements: Statements) -> None:
    """What hives do most, with marks being kept. All of it is rolled back, and locks nothing of others."""
    transaction = db.transaction()
    await transaction.start()
    try:
        ns = await db.fetchval(statements.named("rehearsal"), uuid4().hex, [CACHE, PEER])
        await _Rehearsal(db, statements, ns).run()
    finally:
        await transaction.rollback()


class _Rehearsal:
    def __init__(self, db: Connection, statements: Statements, ns: int) -> None:
        self._db = db
        self._statements = statements
        self._ns = ns
        self._records = [RecordRef("rehearsal", str(n)) for n in range(3)]
        self._tasks = [TaskRef(str(n)) for n in range(4)]

    async def run(self) -> None:
        await self._write()
        await self._work()
        await self._read()
        await self._turn()

    async def _write(self) -> None:
        one, other, third = self._records
        version = await self._commit_alone(Put(one, b"1"))
        await self._commit_alone(Put(one, b"2"), VersionIs(one, version))
        version = await self._commit([_batch(Put(one, b"3")), _batch(Put(other, b"3"))])
        await self._commit([_batch(Put(one, b"4"), VersionIs(one, version)), _batch(Put(third, b"4"))])
        await self._commit([_batch(Put(one, b"5")), _batch(Put(other, b"5"))], careful=True)
        await self._commit([_batch(Touch(one, None))])

    async def _work(self) -> None:
        alone, *orders = [Enqueue(task, QUEUE, b"1") for task in self._tasks]
        await self._commit_alone(alone)
        await self._commit([*map(_batch, orders)])
        (first,) = await self._call("claim_alone", ONE_TASK, QUEUE, "", LEASE)
        await self._commit_alone(Complete(TaskRef(first["id"]), first["token"]))
        shape, arguments = claim_arguments([ClaimTasks(QUEUE, "", LEASE), ClaimTasks(QUEUE, "", LEASE, 2)])
        *leased, _ = await self._call("claim", shape, *arguments)
        one, other, third = [(TaskRef(row["id"]), row["token"]) for row in leased]
        await self._commit([_batch(Complete(*one)), _batch(Extend(*third, LEASE))])
        effect = RecordRef("rehearsal", "effect")
        await self._commit([Batch((Complete(*other), Put(effect, b"1")), (VersionIs(effect, 0),))])

    async def _read(self) -> None:
        await reading.read(self._db, self._statements, self._ns, self._records)
        await reading.read(self._db, self._statements, self._ns, [*self._records, *self._tasks])

    async def _turn(self) -> None:
        """The control row is looked at, and changed, as at a switch."""
        arguments = self._db, self._statements, self._ns
        await controlling.read_notes(*arguments)
        marks = await controlling.marks(*arguments, PEER, 10)
        await controlling.clear(*arguments, PEER, marks)
        row = await controlling.read_control(*arguments)
        sealed = replace(row, state=ControlState.SEALED, term=row.term + 1)
        await controlling.change_control(*arguments, row.epoch, sealed)

    # --- trips

    async def _commit_alone(self, op: Any, *checks: Any) -> int:
        """The version that it gave."""
        name, _, _, arguments = call_alone(_batch(op, *checks)) or ("", "", (), ())
        (row,) = await self._call(name, *arguments)
        return int(row["version"])

    async def _commit(self, batches: Sequence[Batch], careful: bool = False) -> int:
        encoded = Encoded(batches)
        name = "commit_flat" if encoded.flat else "commit"
        (row,) = await self._call(name, encoded.shape, careful, *encoded.arguments(careful))
        return int(row["version"])

    async def _call(self, name: str, *arguments: object) -> Any:
        return await self._db.fetch(self._statements.named(name), self._ns, uuid4().hex, *arguments)


def _batch(op: Any, *checks: Any) -> Batch:
    return Batch((op,), checks)
