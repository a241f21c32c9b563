"""What callers pass in by mistake: refused by name, before anything is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hive_state_core import Store, validate
from hive_state_core.errors import InvalidArgument, LimitExceeded

pytestmark = pytest.mark.prompt
HUGE = 10**5000
"""Python refuses to write it as digits, and no float is as large."""

Call = Callable[[Store], Awaitable[Any]]

SINGLES: dict[str, Call] = {
    "keys to read": lambda hive: hive.records.get_many("c", "abc"),
    "keys to delete": lambda hive: hive.records.delete_many("c", "abc"),
    "ids of agents": lambda hive: hive.agents.get_many("abc"),
    "payload in place of payloads": lambda hive: hive.tasks.enqueue_many("q", {"repo": "x"}),
    "body in place of bodies": lambda hive: hive.events.publish_many("s", b"abc"),
    "capabilities": lambda hive: hive.agents.register("a", capabilities="plan"),
    "parents": lambda hive: hive.tasks.enqueue("q", 1, depends_on="abc"),
    "no list at all": lambda hive: hive.tasks.enqueue("q", 1, requires=5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("call", SINGLES.values(), ids=SINGLES)
async def test_one_where_a_list_belongs_is_refused(hive: Store, call: Call) -> None:
    with pytest.raises(InvalidArgument, match="must be a list, not one"):
        await call(hive)


WRONG: dict[str, Call] = {
    "collection": lambda hive: hive.records.get(5, "k"),  # type: ignore[arg-type]
    "index fields": lambda hive: hive.records.put("c", "k", 1, index=["field"]),  # type: ignore[arg-type]
    "values": lambda hive: hive.records.put_many("c", ["k"]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("what", "call"), WRONG.items(), ids=WRONG)
async def test_another_type_is_refused_by_name(hive: Store, what: str, call: Call) -> None:
    with pytest.raises(InvalidArgument, match=f"^{what} must be a "):
        await call(hive)


LONG: dict[str, Call] = {
    "priority": lambda hive: hive.tasks.enqueue("q", 1, priority=HUGE),
    "if_version": lambda hive: hive.records.delete("c", "k", if_version=HUGE),
    "ttl": lambda hive: hive.records.put("c", "k", 1, ttl=HUGE),
}


@pytest.mark.parametrize(("what", "call"), LONG.items(), ids=LONG)
async def test_an_int_that_no_error_could_write_is_told_by_its_length(
    hive: Store, what: str, call: Call
) -> None:
    with pytest.raises(LimitExceeded, match=rf"^{what}.* is an int of \d+ bits; at most "):
        await call(hive)
    with pytest.raises(InvalidArgument, match=r"^limit is an int of 16610 bits; the least"):
        validate.integer(-HUGE, "limit", 1, 1000)


TIMED: dict[str, Callable[[Store, Any], Awaitable[Any]]] = {
    "a read": lambda hive, timeout: hive.records.get("c", "k", timeout=timeout),
    "a list": lambda hive, timeout: hive.records.count("c", timeout=timeout),
    "a write": lambda hive, timeout: hive.records.put("c", "k", 1, timeout=timeout),
    "a lock": lambda hive, timeout: hive.locks.try_acquire("deploy", timeout=timeout),
    "a wait": lambda hive, timeout: hive.tasks.wait("t", timeout=timeout),
    "a take": lambda hive, timeout: hive.tasks.take("t", worker="w", timeout=timeout),
}


@pytest.mark.parametrize("timeout", ["1", float("nan"), HUGE, True], ids=["str", "nan", "huge", "bool"])
@pytest.mark.parametrize("call", TIMED.values(), ids=TIMED)
async def test_a_timeout_is_a_number_of_seconds(
    hive: Store, call: Callable[[Store, Any], Awaitable[Any]], timeout: object
) -> None:
    with pytest.raises(InvalidArgument, match="timeout must be a number of seconds"):
        await call(hive, timeout)
    assert await hive.records.get("c", "k") is None
    assert await hive.locks.holder("deploy") is None
