"""`scan`: one page of a kind, by one statement built from its query."""

from __future__ import annotations

from typing import Any

from hive_state_core.index_text import index_text
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import GroupRef, RecordRef
from hive_state_core.spi import Page, Scan, ScanImage
from hive_state_postgres.dialing import Connection
from hive_state_postgres.errors import dropped
from hive_state_postgres.rows import (
    Row,
    group_image,
    pending_image,
    queue_image,
    record_image,
    stream_image,
    task_image,
)
from hive_state_postgres.statements import Statements

_NOW = (
    "WITH now AS MATERIALIZED (SELECT epoch, hive.instant(ns, floor) AS at FROM hive.control WHERE ns = $1)"
)

_RECORD = (
    "t.key, version, created_version, {value} AS value, raw, index_fields, created_at, updated_at,"
    " expires_at, octet_length(value) AS size"
)
_TASK = (
    "id AS key, id, version, queue, state, priority, ord, due_at, {payload} AS payload, raw, dedupe_key,"
    " requires, parents, unmet, attempt, max_attempts, token, lease_until, worker, cancel_requested, error,"
    " {result} AS result, result_raw, created_at, updated_at, finished_at, octet_length(payload) AS size"
)
_QUEUE = "queue AS key, version, paused"
_STREAM = "stream AS key, version, first, last"
_GROUP = (
    "grp AS key, version, position, max_deliveries,"
    " (SELECT count(*) FROM hive.pending p"
    " WHERE p.ns = $1 AND p.stream = t.stream AND p.grp = t.grp AND NOT p.dead) AS pending,"
    " (SELECT count(*) FROM hive.pending p"
    " WHERE p.ns = $1 AND p.stream = t.stream AND p.grp = t.grp AND p.dead) AS dead"
)
_PENDING = "seq AS key, seq, version, token, deliveries, consumer, until, dead, error"
_SIZED = ("record", "task")
"""Kinds whose images hold values."""


class _Query:
    """The text and the arguments of a scan."""

    def __init__(self, ns: int, query: Scan) -> None:
        self.arguments: list[Any] = [ns]
        self.conditions = ["t.ns = $1"]
        self.source = ""  # instead of the table
        self.found = "t"  # what has the key that rows are found, and ordered, by
        match query.kind:
            case "record":
                self._records(query)
            case "task":
                self._tasks(query)
            case "queue":
                self.table, self.key, self.columns = "queues", "queue", _QUEUE
            case "stream":
                self.table, self.key, self.columns = "streams", "stream", _STREAM
                self.conditions.append("NOT t.dropped")
            case "group":
                self.table, self.key, self.columns = "groups", "grp", _GROUP
                self.conditions.append(f"t.stream = {self._bind(query.within)}")
            case "pending":
                self._pending(query)
        for bound, operator in (
            (query.start, ">="),
            (query.stop, "<"),
            (self._after(query), "<" if query.reverse else ">"),
        ):
            if bound is not None:
                self.conditions.append(f"{self.found}.{self.key} {operator} {self._bind(bound)}")
        self.where = f"FROM {self.source or f'hive.{self.table} t'} WHERE {' AND '.join(self.conditions)}"

    def _bind(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def _records(self, query: Scan) -> None:
        self.table, self.key = "records", "key"
        self.columns = _RECORD.format(value="value" if query.values else "''::bytea")
        within = self._bind(query.within)
        self.conditions += [
            f"t.collection = {within}",
            "t.deleted_at IS NULL",
            "(t.expires_at IS NULL OR t.expires_at > now.at)",
        ]
        entries = [
            f"FROM hive.record_index WHERE ns = $1 AND collection = {within}"
            f" AND field = {self._bind(field)} AND value = {self._bind(index_text(scalar))}"
            for field, scalar in query.where
        ]
        if entries:  # the first finds keys, in their order; the others are looked up for each
            self.found = "i"
            self.source = (
                f"(SELECT key {entries[0]}) i, LATERAL (SELECT * FROM hive.records"
                f" WHERE ns = $1 AND collection = {within} AND key = i.key OFFSET 0) t"
            )
            self.conditions += [
                f"EXISTS (SELECT 1 {entry} AND key = i.key OFFSET 0)" for entry in entries[1:]
            ]

    def _tasks(self, query: Scan) -> None:
        self.table, self.key = "tasks", "id"
        payload, result = ("payload", "result") if query.values else ("''::bytea", "NULL::bytea")
        self.columns = _TASK.format(payload=payload, result=result)
        if query.within is not None:
            self.conditions.append(f"t.queue = {self._bind(query.within)}")
        if query.states is not None:
            states = sorted(state.value for state in query.states)
            self.conditions.append(f"t.state = ANY ({self._bind(states)}::text[])")

    def _pending(self, query: Scan) -> None:
        self.table, self.key, self.columns = "pending", "seq", _PENDING
        within, group = self._bind(query.within), self._bind(query.group)
        self.conditions += [f"t.stream = {within}", f"t.grp = {group}"]
        if query.dead is not None:
            self.conditions.append("t.dead" if query.dead else "NOT t.dead")

    def _after(self, query: Scan) -> str | int | None:
        return int(query.after) if query.after is not None and query.kind == "pending" else query.after

    def counting(self) -> str:
        return f"{_NOW} SELECT now.epoch, now.at, (SELECT count(*) {self.where}) AS total FROM now"

    def page(self, query: Scan) -> str:
        """Rows up to one beyond the limit, and until their values pass the bound of a reply."""
        order = "DESC" if query.reverse else "ASC"
        ordered = f"ORDER BY {self.found}.{self.key} {order} LIMIT {query.limit + 1}"
        rows = f"SELECT {self.columns} {self.where} {ordered}"
        if query.values and query.kind in _SIZED:
            rows = (
                f"SELECT * FROM (SELECT *, sum(size) OVER (ORDER BY key {order}) - size AS before"
                f" FROM ({rows}) r) s WHERE before <= {REPLY_BYTES}"
            )
        return f"{_NOW} SELECT now.epoch, now.at, r.* FROM now LEFT JOIN LATERAL ({rows}) r ON true"


async def scan(db: Connection, statements: Statements, ns: int, query: Scan) -> Page:
    """One page, or the count."""
    built = _Query(ns, query)
    if query.count:
        row = await db.fetchrow(statements.qualify(built.counting()), *built.arguments)
        if row is None:
            raise dropped()
        return Page(epoch=row["epoch"], at=row["at"], items=(), next=None, total=row["total"])
    rows = await db.fetch(statements.qualify(built.page(query)), *built.arguments)
    if not rows:
        raise dropped()
    found = [row for row in rows if row["key"] is not None]
    found.sort(key=_in_order, reverse=query.reverse)
    sized = query.values and query.kind in _SIZED
    more = len(found) > query.limit or (sized and sum(row["size"] for row in found) > REPLY_BYTES)
    items = [_image(query, row) for row in found[: query.limit]]
    return Page(
        epoch=rows[0]["epoch"],
        at=rows[0]["at"],
        items=items,
        next=str(found[len(items) - 1]["key"]) if more else None,
    )


def _in_order(row: Row) -> bytes | int:
    key = row["key"]
    return key if isinstance(key, int) else str(key).encode()


def _image(query: Scan, row: Row) -> ScanImage:
    match query.kind:
        case "record":
            return record_image(RecordRef(query.within or "", row["key"]), row)
        case "task":
            return task_image(row)
        case "queue":
            return queue_image(row["key"], row["version"], row["paused"])
        case "stream":
            return stream_image(row["key"], row["version"], row["first"], row["last"])
        case "group":
            return group_image(GroupRef(query.within or "", row["key"]), row)
        case "pending":
            return pending_image(GroupRef(query.within or "", query.group or ""), row)
