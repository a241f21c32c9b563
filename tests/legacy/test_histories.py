"""Checkpoints and snapshots: in their order, each at its place, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hive_state_core import Store, open_store

T = TypeVar("T")


def look(store: str, see: Callable[[Store], Awaitable[T]]) -> T:
    async def seen() -> T:
        async with open_store(store) as hive:
            return await see(hive)

    return asyncio.run(seen())


def history(store: str, name: str = "c") -> list[tuple[int, Any]]:
    async def see(hive: Store) -> list[tuple[int, Any]]:
        return [(each.seq, each.data) async for each in hive.checkpoints.list(name)]

    return look(store, see)


def test_the_newest_by_time_is_the_latest_and_rows_may_follow(legacy: Any, store: str) -> None:
    file = legacy().checkpoint(data="2", timestamp="2025-01-02T00:00:00")
    file.checkpoint(data="1", timestamp="2025-01-01T00:00:00").checkpoint("d", data="9")
    assert file.into(store)["imported"]["checkpoints"] == 3
    assert history(store) == [(1, 1), (2, 2)]
    file.checkpoint(data="3", timestamp="2025-01-03T00:00:00")
    done = file.into(store)
    assert (done["imported"]["checkpoints"], done["unchanged"]["checkpoints"]) == (1, 3)
    assert history(store) == [(1, 1), (2, 2), (3, 3)]


def test_poison_holds_up_what_comes_after_it_until_it_is_settled(legacy: Any, store: str) -> None:
    file = legacy()
    for n, data in enumerate(("1", "NaN", "3")):
        file.checkpoint(data=data, timestamp=f"2025-01-0{n + 1}T00:00:00")
    file.checkpoint("d", data="4")
    done = file.into(store, exit_code=3)
    assert (done["imported"]["checkpoints"], done["poison"]["checkpoints"]) == (2, 2)
    reasons = [row["reason"] for row in done["poison_rows"]]
    assert reasons == [
        "NaN is no JSON number",
        "it waits for checkpoints:2, which comes before it in its history",
    ]
    assert history(store) == [(1, 1)]
    assert file.into(store, "--nan", "null")["imported"]["checkpoints"] == 2
    assert history(store) == [(1, 1), (2, None), (3, 3)]
    assert file.into(store)["unchanged"]["checkpoints"] == 4  # the rule need not be said again


def test_a_waived_row_leaves_no_gap(legacy: Any, store: str) -> None:
    file = legacy()
    for n, data in enumerate(("1", "{", "3")):
        file.checkpoint(data=data, timestamp=f"2025-01-0{n + 1}T00:00:00")
    assert file.into(store, "--waive", "checkpoints:2")["verified"]["same"]["checkpoints"] == 2
    assert history(store) == [(1, 1), (2, 3)]
    assert file.into(store)["unchanged"]["checkpoints"] == 2


def test_another_history_of_that_name_is_left_alone(legacy: Any, store: str) -> None:
    look(store, lambda hive: hive.checkpoints.save("c", "own"))
    file = legacy().checkpoint(data="1").checkpoint(data="2", timestamp="2025-01-02T00:00:00").checkpoint("d")
    done = file.into(store, exit_code=3)
    assert (done["imported"]["checkpoints"], done["poison"]["checkpoints"]) == (1, 2)
    assert done["poison_rows"][0]["reason"] == "the store has another history of this name"
    assert history(store) == [(1, "own")]
    assert look(store, lambda hive: hive.checkpoints.save("c", "more")).seq == 2


def test_a_history_that_goes_on_in_the_store_takes_no_more(legacy: Any, store: str) -> None:
    file = legacy().checkpoint(data="1")
    file.into(store)
    assert look(store, lambda hive: hive.checkpoints.save("c", "own")).seq == 2
    assert file.into(store)["unchanged"]["checkpoints"] == 1
    file.checkpoint(data="2", timestamp="2099-01-01T00:00:00")
    assert file.into(store, exit_code=3)["poison"]["checkpoints"] == 1
    assert history(store) == [(1, 1), (2, "own")]


def test_what_the_store_has_pruned_or_deleted_does_not_come_back(legacy: Any, store: str) -> None:
    file = legacy().agent().task()
    for n in range(1, 4):
        file.checkpoint(data=str(n), timestamp=f"2025-01-0{n}T00:00:00").checkpoint("gone", data=str(n))
    file.into(store)

    async def change(hive: Store) -> None:
        await hive.checkpoints.prune("c", keep=1)
        await hive.checkpoints.delete("gone")
        await hive.agents.remove("a")
        await hive.tasks.cancel("t")

    look(store, change)
    done = file.into(store)
    assert (done["newer"]["checkpoints"], done["unchanged"]["checkpoints"]) == (5, 1)
    assert (done["newer"]["agents"], done["newer"]["tasks"]) == (1, 1)
    assert sum(done["imported"].values()) == 0
    assert history(store) == [(3, 3)]
    assert look(store, lambda hive: hive.agents.get("a")) is None


def test_rows_that_went_on_in_the_file_are_brought_up_to_date(legacy: Any, store: str) -> None:
    file = legacy().agent().agent("b").task()
    file.into(store)
    file.execute(
        "UPDATE agents SET status = 'busy', last_activity = '2025-03-02T00:00:00' WHERE agent_id = 'a'"
    )
    file.execute("UPDATE tasks SET status = 'completed', completed_at = '2025-03-02T00:00:00'")
    done = file.into(store)
    assert (done["imported"]["agents"], done["unchanged"]["agents"], done["imported"]["tasks"]) == (1, 1, 1)
    agent = look(store, lambda hive: hive.agents.get("a"))
    assert agent is not None
    assert agent.status == "busy"


def test_a_change_without_a_time_is_told_as_a_difference(legacy: Any, store: str) -> None:
    file = legacy().task()
    file.into(store)
    file.execute("UPDATE tasks SET priority = 1")
    done = file.into(store, exit_code=3)
    assert done["verified"]["rows"] == [{"table": "tasks", "rowid": 1, "fields": ["priority"]}]


def test_agents_that_the_store_has_of_its_own_stay(legacy: Any, store: str) -> None:
    look(store, lambda hive: hive.agents.register("a", capabilities=["own"]))
    done = legacy().agent().agent("b").into(store)
    assert (done["imported"]["agents"], done["newer"]["agents"]) == (1, 1)
    agent = look(store, lambda hive: hive.agents.get("a"))
    assert agent is not None
    assert agent.capabilities == ("own",)
