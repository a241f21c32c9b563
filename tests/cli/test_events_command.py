"""`hive-state events`."""

from __future__ import annotations

from typing import Any

import pytest

from hive_state_core import Store


async def some(hive: Store) -> None:
    """Five events; a group that has one out, one dead and three before it."""
    await hive.events.create_group("audit", "billing")
    await hive.events.publish_many("audit", [{"n": 1, "key": "s3cret"}, b"\xff", 3, 4, 5])
    first, second = await hive.events.claim("audit", "billing", consumer="c", limit=2)
    await hive.events.nack(first, error="it broke", retry_in=None)
    assert second.event.seq == 2


GROUP = ("audit", "billing")


def test_an_empty_store(cli: Any) -> None:
    assert cli.told("events", "streams", cli.url) == {"streams": []}
    assert cli.told("events", "groups", cli.url) == {"groups": []}
    assert cli.told("events", "read", cli.url, "audit") == {"stream": "audit", "events": []}
    assert "There is no stream." in cli.shown("events", "streams", cli.url)
    assert "There is no such event." in cli.shown("events", "read", cli.url, "audit")


def test_streams_and_groups(cli: Any) -> None:
    cli.fill(some)
    assert cli.told("events", "streams", cli.url) == {"streams": [{"stream": "audit", "events": 5}]}
    group = {"stream": "audit", "group": "billing", "position": 2, "lag": 3, "pending": 1, "dead": 1}
    assert cli.told("events", "groups", cli.url) == {"groups": [group]}
    assert cli.told("events", "groups", cli.url, "--stream", "other") == {"groups": []}
    assert cli.told("events", "lag", cli.url, *GROUP)["lag"] == 3
    assert "billing" in cli.shown("events", "groups", cli.url)


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        ((), [1, 2, 3, 4, 5]),
        (("--start", "4"), [4, 5]),
        (("--reverse", "--limit", "2"), [5, 4]),
        (("--reverse", "--start", "2"), [2, 1]),
        (("--start", "6"), []),
    ],
)
def test_read(cli: Any, options: tuple[str, ...], seqs: list[int]) -> None:
    cli.fill(some)
    found = cli.told("events", "read", cli.url, "audit", *options)["events"]
    assert [event["seq"] for event in found] == seqs
    assert all(event.keys() == {"seq", "at", "version"} for event in found)
    assert "s3cret" not in cli.shown("events", "read", cli.url, "audit", *options)


def test_read_gives_bodies_when_they_are_asked_for(cli: Any) -> None:
    cli.fill(some)
    found = cli.told("events", "read", cli.url, "audit", "--values")["events"]
    assert [event["body"] for event in found] == [{"n": 1, "key": "s3cret"}, {"base64": "/w=="}, 3, 4, 5]
    assert '"key": "s3cret"' in cli.shown("events", "read", cli.url, "audit", "--values")


def test_trim_spares_what_is_unfinished_unless_forced(cli: Any) -> None:
    cli.fill(some)
    args = ("events", "trim", cli.url, "audit", "--keep", "1")
    assert cli.run(*args).exit_code == 2  # it asks
    assert cli.told(*args, "--yes") == {"stream": "audit", "removed": 0, "dropped": 0, "first": 1}
    found = cli.told(*args, "--yes", "--force")
    assert found == {"stream": "audit", "removed": 4, "dropped": 4, "first": 5}
    assert cli.told("events", "read", cli.url, "audit", "--start", "1", code=1)["error"]
    for wrong in ((), ("--keep", "1", "--first", "2")):
        assert cli.run("events", "trim", cli.url, "audit", "--yes", *wrong).exit_code == 2


@pytest.mark.parametrize(("to", "lag"), [("beginning", 5), ("now", 0), ("4", 2)])
def test_seek(cli: Any, to: str, lag: int) -> None:
    cli.fill(some)
    assert cli.run("events", "seek", cli.url, *GROUP, "--to", to).exit_code == 2  # it asks
    assert cli.told("events", "seek", cli.url, *GROUP, "--to", to, "--yes")["lag"] == lag


def test_what_is_pending_and_dead(cli: Any) -> None:
    cli.fill(some)
    found = cli.told("events", "pending", cli.url, *GROUP)["pending"]
    assert [(each["seq"], each["dead"], each["error"]) for each in found] == [
        (1, True, "it broke"),
        (2, False, None),
    ]
    dead = cli.told("events", "pending", cli.url, *GROUP, "--dead")["pending"]
    assert [each["seq"] for each in dead] == [1]
    assert "it broke" in cli.shown("events", "pending", cli.url, *GROUP)


async def back(hive: Store) -> None:
    """The group begins anew, and its first event is dead again."""
    await hive.events.seek(*GROUP, "beginning")
    (delivery,) = await hive.events.claim(*GROUP)
    await hive.events.nack(delivery, error="again", retry_in=None)


@pytest.mark.parametrize("which", [("--seq", "1"), ("--all",)])
def test_redrive_and_discard_dead_events(cli: Any, which: tuple[str, ...]) -> None:
    cli.fill(some)
    assert cli.told("events", "redrive", cli.url, *GROUP, *which) == {"redriven": [1]}
    assert cli.told("events", "pending", cli.url, *GROUP, "--dead")["pending"] == []

    async def again(hive: Store) -> None:
        (delivery,) = await hive.events.claim(*GROUP)
        await hive.events.nack(delivery, error="again", retry_in=None)

    cli.fill(again)
    assert cli.run("events", "discard", cli.url, *GROUP, *which).exit_code == 2  # it asks
    assert cli.shown("events", "discard", cli.url, *GROUP, "--all", "--yes") == "discarded: 1\n"
    cli.fill(back)
    assert cli.told("events", "discard", cli.url, *GROUP, *which, "--yes") == {"discarded": [1]}
    assert cli.told("events", "redrive", cli.url, *GROUP, "--all") == {"redriven": []}


def test_drop(cli: Any) -> None:
    cli.fill(some)
    assert cli.told("events", "drop-group", cli.url, *GROUP, "--yes")["dropped"] is True
    assert cli.told("events", "drop", cli.url, "audit", "--yes")["dropped"] is True
    assert cli.told("events", "streams", cli.url) == {"streams": []}
    for verb in (("drop-group", *GROUP), ("drop", "audit"), ("lag", *GROUP), ("pending", *GROUP)):
        yes = ["--yes"] if verb[0].startswith("drop") else []
        assert cli.told("events", verb[0], cli.url, *verb[1:], *yes, code=1)["error"]["code"] == "not_found"


def test_hostile_names_steer_nothing(cli: Any) -> None:
    name = cli.hostile

    async def hostile(hive: Store) -> None:
        await hive.events.create_group(name, name)
        await hive.events.publish(name, name)
        (delivery,) = await hive.events.claim(name, name, consumer=name)
        await hive.events.nack(delivery, error=name, retry_in=None)

    cli.fill(hostile)
    cli.shown("events", "streams", cli.url)
    cli.shown("events", "groups", cli.url)
    cli.shown("events", "read", cli.url, name, "--values")
    cli.shown("events", "pending", cli.url, name, name)
    cli.shown("events", "seek", cli.url, name, name, "--to", "now", "--yes")


@pytest.mark.parametrize(
    "args",
    [
        ("read",),
        ("read", "audit", "--limit", "1001"),
        ("lag", "audit"),
        ("seek", *GROUP, "--yes"),
        ("seek", *GROUP, "--to", "soon", "--yes"),
        ("redrive", *GROUP),
        ("redrive", *GROUP, "--all", "--seq", "1"),
        ("read", "hive:own"),
    ],
)
def test_a_wrong_command_line(cli: Any, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]) -> None:
    monkeypatch.setenv("HIVE_STATE_URL", cli.url)
    result = cli.run("events", *args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
