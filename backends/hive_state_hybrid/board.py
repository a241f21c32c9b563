"""What Stores tell each other of the cache, by notes in the durable store.

    cache:answers       some cache may answer somebody: for how many milliseconds a beat lets it
    cache:cut-off:NAME  the Store of this name cannot reach the cache, until this instant of the durable store

A relay writes the first, looks for the others, and then beats. A Store that is cut off writes its own, and
then looks for the first: of the two at least one sees the other's note. So a Store that finds no
`cache:answers` need not wait for any beat to end; and one that has waited takes the note away, for those that
find themselves cut off later.
"""

from __future__ import annotations

from hive_state_core.model import RecordRef
from hive_state_core.spi import Driver, Replication

PREFIX = "cache:"
ANSWERS = PREFIX + "answers"
CUT_OFF = PREFIX + "cut-off:"


async def may_answer(durable: Driver, port: Replication, ms: int) -> bool:
    """Whether no Store is cut off. Whichever will be, knows from now on that beats of `ms` are given."""
    while True:
        notes = await port.notes()
        cut_off = {name: value for name, value in notes.items() if name.startswith(CUT_OFF)}
        if cut_off and not await _ended(durable, port, cut_off):
            return False
        said = notes.get(ANSWERS)
        if said is not None and int(said) >= ms:
            return True
        await port.note({ANSWERS: b"%d" % ms}, {ANSWERS: said})


async def _ended(durable: Driver, port: Replication, cut_off: dict[str, bytes]) -> bool:
    """Whether their Stores died or slept. They are taken away, so that one that only slept finds out."""
    at = await instant(durable)
    if any(int(until) > at for until in cut_off.values()):
        return False
    return await port.note(dict.fromkeys(cut_off), cut_off)


async def instant(durable: Driver) -> int:
    """The durable store's, or one of its latest."""
    return (await durable.read([RecordRef("hive:ping", "ping")])).at
