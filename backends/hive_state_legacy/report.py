"""What an import did, counted by table."""

from __future__ import annotations

import msgspec

from hive_state_legacy.quarantine import Flaw, State
from hive_state_legacy.source import Item
from hive_state_legacy.tables import TABLES

Counts = dict[str, int]


def _zeros() -> Counts:
    return {table.name: 0 for table in TABLES}


class PoisonRow(msgspec.Struct, frozen=True):
    """`rule`: the option that could settle it, None if only a waiver can."""

    table: str
    rowid: int
    column: str
    reason: str
    rule: str | None


class Report(msgspec.Struct, kw_only=True):
    """read = imported + unchanged + newer + waived + poison, table by table.

    imported   now in the store, or changed there to what the file says now
    unchanged  in the store before
    newer      left as they are: the store changed or deleted them since
    waived     left behind, as somebody said
    poison     not imported, and nobody has said what to do; `poison_rows` names each
    settled    of those imported: changed by a rule
    """

    read: Counts = msgspec.field(default_factory=_zeros)
    imported: Counts = msgspec.field(default_factory=_zeros)
    unchanged: Counts = msgspec.field(default_factory=_zeros)
    newer: Counts = msgspec.field(default_factory=_zeros)
    waived: Counts = msgspec.field(default_factory=_zeros)
    poison: Counts = msgspec.field(default_factory=_zeros)
    settled: Counts = msgspec.field(default_factory=_zeros)
    poison_rows: list[PoisonRow] = msgspec.field(default_factory=list)
    left_out: set[tuple[str, int]] = msgspec.field(default_factory=set)
    """Rows, by (table, rowid), that are not in the store, or not by this import as the file has them."""

    def count(self, item: Item, fate: str | None) -> None:
        """`fate`: which of the counts takes the row; None: it was left out, the item says why."""
        table = item.row.table
        self.read[table] += 1
        if fate is not None:
            counts: Counts = getattr(self, fate)
            counts[table] += 1
            self.settled[table] += item.state is State.SETTLED and fate == "imported"
            if fate == "newer":
                self.left_out.add((table, item.row.rowid))
            return
        self.left_out.add((table, item.row.rowid))
        if item.state is State.WAIVED:
            self.waived[table] += 1
        elif item.state is State.SETTLED:  # by a rule, in an earlier run
            self.unchanged[table] += 1
        else:
            self._poison(item)

    def _poison(self, item: Item) -> None:
        table, flaw = item.row.table, item.flaw or Flaw("", "")
        self.poison[table] += 1
        self.poison_rows.append(PoisonRow(table, item.row.rowid, flaw.column, flaw.reason, flaw.rule))
