"""Whatever happens to a stream of the KVDriver, no event is lost and none is in two places."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_state_core.spi import Ack, Batch, Nack, Op, Refused, Seek, StreamPage, Trim
from hive_state_memory.driver import MemoryDriver

from .driving import Manual, commit, do
from .streaming import LEASE, G, S, append, follow, group, named, pending, seqs, state, take

pytestmark = pytest.mark.prompt


_steps = st.lists(
    st.tuples(
        st.sampled_from(["append", "take", "ack", "nack", "dead", "revive", "trim", "force", "seek", "wait"]),
        st.integers(0, 6),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(_steps)
def test_whatever_happens_every_event_is_in_one_place(steps: list[tuple[str, int]]) -> None:
    """Acked, pending, dead or not handed out: and the images, the stats and the index agree on it."""

    async def check() -> None:
        memory = Manual()
        driver = MemoryDriver(memory, "hive")
        await driver.open()
        await group(driver, most=2)
        current: dict[int, int] = {}
        for what, number in steps:
            await _step(driver, memory, current, what, number)
            _agree(memory, await driver.stats(), (await follow(driver, limit=10_000)), await state(driver))
        for seq, token in current.items():  # every token that was not taken away still counts
            found = pending(memory, seq)
            if found is not None and found.token == token:
                await do(driver, Ack(G, ((seq, token),)))

    asyncio.run(check())


async def _step(
    driver: MemoryDriver, memory: Manual, current: dict[int, int], what: str, number: int
) -> None:
    chosen = tuple(list(current.items())[:number])
    dead = tuple((seq, 0) for seq in range(1, 200) if (it := pending(memory, seq)) is not None and it.dead)
    ops: dict[str, Op] = {
        "ack": Ack(G, chosen),
        "nack": Nack(G, chosen, number, spent=bool(number % 2)),
        "dead": Nack(G, chosen, None),
        "revive": Nack(G, dead[:number], 0),
        "trim": Trim(S, number * 3),
        "force": Trim(S, number, force=True),
        "seek": Seek(G, number),
    }
    if what == "append":
        await append(driver, number)
    elif what == "wait":
        memory.instant += number * LEASE // 4
    elif what == "take":
        found = await take(driver, number + 1)
        assert seqs(found) == sorted(set(seqs(found)))
        current.update(named(found))
    else:
        (outcome,) = await commit(driver, Batch((ops[what],)))
        if isinstance(outcome, Refused):  # of those chosen, this one was lost to the clock, a trim or a seek
            assert current.pop(outcome.seq) == outcome.expected != outcome.actual
        elif what in ("ack", "nack", "dead"):
            for seq, _ in chosen:
                del current[seq]


def _agree(memory: Manual, stats: Any, page: StreamPage, counts: tuple[int, int, int]) -> None:
    position, alive, dead = counts
    there = [it for seq in range(1, page.last + 1) if (it := pending(memory, seq)) is not None]
    assert seqs(page.events) == list(range(page.first, page.last + 1))
    assert all(page.first <= it.ref.seq <= position for it in there)
    assert [sum(not it.dead for it in there), sum(it.dead for it in there)] == [alive, dead]
    index = [key for key in memory.rows.items() if key.startswith(b"hive\0redeliver\0")]
    assert len(index) == alive
    found = stats.groups["s", "g"]
    assert (found.position, found.pending, found.dead) == counts
    assert found.lag == sum(seq > position for seq in seqs(page.events))
    unfinished = [it.ref.seq for it in there] + [seq for seq in seqs(page.events) if seq > position]
    at = {event.seq: event.at for event in page.events}
    assert found.oldest_at == (at[min(unfinished)] if unfinished else None)
