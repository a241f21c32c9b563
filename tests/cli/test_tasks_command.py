"""`hive-state tasks`."""

from __future__ import annotations

from typing import Any

import pytest

from hive_state_core import Store

TASK = {
    *("id", "queue", "state", "priority", "attempt", "max_attempts", "worker", "lease_until", "error"),
    *(
        "cancel_requested",
        "dedupe_key",
        "requires",
        "depends_on",
        "unmet",
        "created_at",
        "due_at",
        "finished_at",
    ),
}


async def some(hive: Store) -> None:
    """A ready task, a leased one, a dead one and one whose payload is bytes."""
    await hive.tasks.enqueue("build", {"key": "s3cret"}, id="leased", priority=1)
    await hive.tasks.claim("build", worker="w")
    await hive.tasks.enqueue("build", 1, id="dead", priority=1)
    (lease,) = await hive.tasks.claim("build", worker="w")
    await hive.tasks.fail(lease, "it broke", retry_in=None)
    await hive.tasks.enqueue("build", {"key": "s3cret"}, id="ready", requires=["plan"])
    await hive.tasks.enqueue("other", b"\x00\xff", id="raw")


def ids(found: Any) -> list[str]:
    return [task["id"] for task in found["tasks"]]


def test_an_empty_store(cli: Any) -> None:
    assert cli.told("tasks", "list", cli.url) == {"tasks": [], "more": False}
    assert "There is no such task." in cli.shown("tasks", "list", cli.url)
    assert cli.told("tasks", "count", cli.url) == {"count": 0}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ((), ["dead", "leased", "raw", "ready"]),
        (("--queue", "build"), ["dead", "leased", "ready"]),
        (("--state", "dead", "--state", "leased"), ["dead", "leased"]),
        (("--queue", "other", "--state", "dead"), []),
        (("--reverse",), ["ready", "raw", "leased", "dead"]),
    ],
)
def test_list_and_count(cli: Any, filter: tuple[str, ...], expected: list[str]) -> None:
    cli.fill(some)
    found = cli.told("tasks", "list", cli.url, *filter)
    assert ids(found) == expected
    assert all(task.keys() == TASK for task in found["tasks"])
    assert "s3cret" not in str(found) + cli.shown("tasks", "list", cli.url, *filter)
    if "--reverse" not in filter:
        assert cli.told("tasks", "count", cli.url, *filter) == {"count": len(expected)}
        assert cli.shown("tasks", "count", cli.url, *filter) == f"{len(expected)}\n"


def test_a_limit_says_that_there_are_more(cli: Any) -> None:
    cli.fill(some)
    assert cli.told("tasks", "list", cli.url, "--limit", "2")["more"] is True
    assert cli.told("tasks", "list", cli.url, "--limit", "4")["more"] is False
    assert "--limit" in cli.run("tasks", "list", cli.url, "--limit", "2").stderr


def test_show_gives_payload_and_result_when_they_are_asked_for(cli: Any) -> None:
    cli.fill(some)
    assert cli.told("tasks", "show", cli.url, "ready").keys() == TASK
    assert "s3cret" not in cli.shown("tasks", "show", cli.url, "ready")
    assert "it broke" in cli.shown("tasks", "show", cli.url, "dead")
    assert cli.told("tasks", "show", cli.url, "ready", "--values")["payload"] == {"key": "s3cret"}
    assert '{"key": "s3cret"}' in cli.shown("tasks", "show", cli.url, "ready", "--values")
    assert cli.told("tasks", "show", cli.url, "raw", "--values")["payload"] == {"base64": "AP8="}


def test_cancel(cli: Any) -> None:
    cli.fill(some)
    assert cli.run("tasks", "cancel", cli.url, "ready").exit_code == 2  # it asks
    assert cli.told("tasks", "cancel", cli.url, "ready", "--yes") == {"id": "ready", "state": "cancelled"}
    assert cli.told("tasks", "cancel", cli.url, "leased", "--yes") == {"id": "leased", "state": "leased"}
    assert "asked to stop" in cli.shown("tasks", "cancel", cli.url, "leased", "--yes")
    assert cli.told("tasks", "show", cli.url, "leased")["cancel_requested"] is True


def test_redrive(cli: Any) -> None:
    cli.fill(some)
    assert cli.told("tasks", "redrive", cli.url, "dead") == {"id": "dead", "redriven": True}
    found = cli.told("tasks", "redrive", cli.url, "dead", code=1)
    assert found["error"]["code"] == "conflict"
    assert "is ready" in found["error"]["message"]


def test_redrive_all(cli: Any) -> None:
    cli.fill(some)
    assert cli.run("tasks", "redrive-all", cli.url).exit_code == 2  # it asks
    assert cli.told("tasks", "redrive-all", cli.url, "--queue", "other", "--yes") == {"redriven": 0}
    assert cli.told("tasks", "redrive-all", cli.url, "--yes") == {"redriven": 1}
    assert cli.told("tasks", "count", cli.url, "--state", "dead") == {"count": 0}


def test_pause_and_resume(cli: Any) -> None:
    cli.fill(some)
    assert cli.told("tasks", "pause", cli.url, "other") == {"queue": "other", "paused": True}

    async def nothing(hive: Store) -> None:
        assert await hive.tasks.claim("other", worker="w") == []

    cli.fill(nothing)
    assert cli.shown("tasks", "resume", cli.url, "other") == "queue other is open\n"

    async def something(hive: Store) -> None:
        assert await hive.tasks.claim("other", worker="w")

    cli.fill(something)


@pytest.mark.parametrize("verb", [("show",), ("cancel", "--yes"), ("redrive",)])
def test_a_task_that_is_not_there(cli: Any, verb: tuple[str, ...]) -> None:
    found = cli.told("tasks", verb[0], cli.url, "nothing", *verb[1:], code=1)
    assert found["error"]["code"] == "not_found"


def test_hostile_names_steer_nothing(cli: Any) -> None:
    async def hostile(hive: Store) -> None:
        await hive.tasks.enqueue(cli.hostile, cli.hostile, id=cli.hostile, requires=[cli.hostile])

    cli.fill(hostile)
    for verb in ("list",), ("show", cli.hostile, "--values"), ("cancel", cli.hostile, "--yes"):
        cli.shown("tasks", verb[0], cli.url, *verb[1:])
    cli.shown("tasks", "pause", cli.url, cli.hostile)


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("list", "--state", "done"), "'done' is not one of"),
        (("list", "--queue", ""), "queue"),
        (("list", "--limit", "0"), "--limit"),
        (("show",), "expected [STORE] ID"),
        (("cancel", "a", "b", "c", "--yes"), "expected [STORE] ID"),
    ],
)
def test_a_wrong_command_line(
    cli: Any, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], part: str
) -> None:
    monkeypatch.setenv("HIVE_STATE_URL", cli.url)
    result = cli.run("tasks", *args)
    assert result.exit_code == 2
    assert part in result.stderr
    assert result.stdout == ""
