"""`hive-state agents`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hive_state_core import Store

AGENT = {
    *("id", "status", "last_status", "capabilities", "current_task", "context_usage", "version"),
    *("registered_at", "updated_at", "seen_at", "offline_after_s"),
}


async def two(hive: Store) -> None:
    await hive.agents.register("planner", capabilities=["plan"], metadata={"token": "s3cret"})
    await hive.agents.register("builder", capabilities=["build"], status="working")


def test_an_empty_store(cli: Any) -> None:
    assert cli.told("agents", "list", cli.url) == {"agents": [], "more": False}
    assert "There is no such agent." in cli.shown("agents", "list", cli.url)


def test_list_shows_no_metadata(cli: Any) -> None:
    cli.fill(two)
    found = cli.told("agents", "list", cli.url)
    assert [agent["id"] for agent in found["agents"]] == ["builder", "planner"]
    assert all(agent.keys() == AGENT for agent in found["agents"])
    assert "s3cret" not in cli.shown("agents", "list", cli.url) + str(found)


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        (("--status", "working"), ["builder"]),
        (("--capability", "plan"), ["planner"]),
        (("--status", "idle", "--capability", "build"), []),
        (("--limit", "1"), ["builder"]),
    ],
)
def test_list_filters(cli: Any, filter: tuple[str, ...], ids: list[str]) -> None:
    cli.fill(two)
    found = cli.told("agents", "list", cli.url, *filter)
    assert [agent["id"] for agent in found["agents"]] == ids
    assert found["more"] == ("--limit" in filter)


def test_show_gives_metadata_when_it_is_asked_for(cli: Any) -> None:
    cli.fill(two)
    assert cli.told("agents", "show", cli.url, "planner").keys() == AGENT
    found = cli.told("agents", "show", cli.url, "planner", "--values")
    assert found["metadata"] == {"token": "s3cret"}
    assert "s3cret" not in cli.shown("agents", "show", cli.url, "planner")
    assert '"token": "s3cret"' in cli.shown("agents", "show", cli.url, "planner", "--values")


def test_the_store_may_be_left_out(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.fill(two)
    monkeypatch.setenv("HIVE_STATE_URL", cli.url)
    assert cli.told("agents", "show", "planner")["id"] == "planner"
    monkeypatch.setenv("HIVE_STATE_URL", "sqlite:///another.db")
    assert cli.told("agents", "show", "planner", "--store", cli.url)["id"] == "planner"
    assert cli.run("agents", "show", cli.url, "planner", "--store", cli.url).exit_code == 2
    monkeypatch.setenv("HIVE_STATE_URL", cli.url)
    assert len(cli.told("agents", "list")["agents"]) == 2


def test_remove_asks_first(cli: Any) -> None:
    cli.fill(two)
    refused = cli.run("agents", "remove", cli.url, "planner")
    assert refused.exit_code == 2
    assert "add --yes" in refused.stderr
    assert len(cli.told("agents", "list", cli.url)["agents"]) == 2
    assert cli.told("agents", "remove", cli.url, "planner", "--yes") == {"id": "planner", "removed": True}
    assert [agent["id"] for agent in cli.told("agents", "list", cli.url)["agents"]] == ["builder"]


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 1), ("n\n", 1, 2), ("", 1, 2)])
def test_an_answer_counts(
    cli: Any, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
) -> None:
    cli.fill(two)
    monkeypatch.setattr("hive_state_core.cli.acting.somebody_there", lambda: True)
    result = cli.run("agents", "remove", cli.url, "planner", stdin=answer)
    assert result.exit_code == code
    assert "Remove the agent planner?" in result.stderr
    assert len(cli.told("agents", "list", cli.url)["agents"]) == left


@pytest.mark.parametrize("verb", [("show",), ("remove", "--yes")])
def test_an_agent_that_is_not_there(cli: Any, verb: tuple[str, ...]) -> None:
    found = cli.told("agents", verb[0], cli.url, "nobody", *verb[1:], code=1)
    assert found == {"error": {"code": "not_found", "message": "there is no agent 'nobody'"}}


def test_hostile_names_steer_nothing(cli: Any) -> None:
    name = cli.hostile

    async def hostile(hive: Store) -> None:
        await hive.agents.register(name, status=name, capabilities=[name])

    cli.fill(hostile)
    shown = cli.shown("agents", "list", cli.url)
    assert "\\x1b]0;owned\\x07" in shown
    assert "\u65e5\u672c\u8a9e" in shown
    assert cli.told("agents", "show", cli.url, name)["id"] == name
    cli.shown("agents", "show", cli.url, name, "--values")
    cli.shown("agents", "remove", cli.url, name, "--yes")


@pytest.mark.parametrize("args", [("show",), ("show", "a", "b", "c"), ("list", "a", "b"), ("bogus",)])
def test_a_wrong_command_line(cli: Any, args: tuple[str, ...]) -> None:
    result = cli.run("agents", *args)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_file_that_is_not_there_is_not_made(cli: Any, tmp_path: Path) -> None:
    result = cli.run("agents", "list", f"sqlite:///{tmp_path}/typo.db")
    assert result.exit_code == 4
    assert "hive-state init" in result.stderr
    assert not (tmp_path / "typo.db").exists()
