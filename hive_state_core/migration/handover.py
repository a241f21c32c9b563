"""The end of a switch: one store was left, which is the decision, so the other one opens. Anybody may do
that.

Before a store is left, a note is written in the other one that says that it has everything (`SYNCED`, with
the term). Without it nothing opens there: it was put back from a backup since, or is another store of that
name.
"""

from __future__ import annotations

from msgspec.structs import replace

from hive_state_core.errors import Conflict
from hive_state_core.spi import PEER, Control, ControlState, Replication

SYNCED = "migration/synced"


async def finish(one: Replication, other: Replication) -> Control:
    """The row of `other`, after whichever of the two the decision names was opened. At most one of them is,
    and none if neither was left."""
    ours, theirs = await one.control(), await other.control()
    if ours.state is ControlState.MOVED and ours.term > theirs.term:
        return await _open(other, theirs, ours)
    if theirs.state is ControlState.MOVED and theirs.term > ours.term:
        await _open(one, ours, theirs)
    return theirs


async def _open(target: Replication, row: Control, left: Control) -> Control:
    """The row of `target`, which takes writes from now on in the term of the row that was left. What it
    writes is marked from the first write on: that is the way back."""
    if row.state not in (ControlState.STANDBY, ControlState.MOVED):
        return row
    if (await target.notes()).get(SYNCED) != synced(left):
        return row
    opened = replace(row, state=ControlState.OPEN, term=left.term, sinks=row.sinks | {PEER})
    try:
        return await target.control(row.epoch, opened)
    except Conflict:  # somebody else was faster
        return await target.control()


def synced(left: Control) -> bytes:
    """What the note says: everything of this store and term is there."""
    return f"{left.store_id} {left.term}".encode()
