"""`hive-state stats`."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hive_state_core import Store
from hive_state_core.embedded import postgres_server
from hive_state_core.errors import AlreadyExists

KEYS = {
    *("url", "backend", "namespace", "lives_in", "at", "seconds"),
    *("records", "queues", "streams", "groups", "size_bytes"),
    *("facts", "pools", "warnings", "processes", "operations", "agents", "lanes", "errors"),
}
QUEUE = {"queue", "paused", "states", "oldest_ready_s", "leases_over", "enqueued_per_s", "ended_per_s"}
GROUP = {"stream", "group", "position", "lag", "pending", "dead", "oldest_s", "handed_out_per_s"}


async def work(hive: Store) -> None:
    hive.telemetry.by_agent = True
    await hive.agents.register("a1")
    await hive.tasks.enqueue_many("build", [1, 2, 3])
    (lease,) = await hive.tasks.claim("build", worker="a1")
    await hive.tasks.complete(lease)
    await hive.tasks.pause("build")
    await hive.events.create_group("audit", "billing")
    await hive.events.publish_many("audit", [1, 2])
    await hive.events.claim("audit", "billing")
    hive.share_stats(every=60)
    while not await hive.shared_stats():
        pass


def test_an_empty_store(cli: Any) -> None:
    found = cli.told("stats", cli.url)
    assert found.keys() == KEYS
    assert found["records"] == {}
    assert 0.9 < found["seconds"] < 30
    shown = cli.shown("stats", cli.url)
    assert "There is no task." in shown
    assert "No process shares" in shown


def test_counts_rates_and_latencies(cli: Any) -> None:
    cli.fill(work)
    found = cli.told("stats", cli.url)
    (queue,) = found["queues"]
    assert queue.keys() == QUEUE
    assert (queue["queue"], queue["paused"], queue["states"]) == ("build", True, {"ready": 2, "completed": 1})
    assert (queue["enqueued_per_s"], queue["ended_per_s"]) == (0, 0)
    assert found["streams"] == [{"stream": "audit", "events": 2, "published_per_s": 0}]
    (group,) = found["groups"]
    assert group.keys() == GROUP
    assert (group["position"], group["lag"], group["pending"]) == (1, 1, 1)
    assert found["operations"]["complete"]["calls"] == 1
    assert found["operations"]["complete"].keys() == {"calls", "p50_ms", "p95_ms", "p99_ms", "max_ms"}
    assert found["agents"]["a1"]["calls"] == 2
    assert found["lanes"]["claim"]["trips"] == 2
    shown = cli.shown("stats", cli.url)
    for part in ("build", "paused", "audit", "billing", "Latency by agent", "claim_tasks", "hive:agents"):
        assert part in shown


def test_hostile_names_steer_nothing(cli: Any) -> None:
    async def hostile(hive: Store) -> None:
        await hive.tasks.enqueue(cli.hostile, 1)
        await hive.events.create_group(cli.hostile, cli.hostile)
        await hive.events.publish(cli.hostile, 1)
        await hive.records.put(cli.hostile, "k", 1)

    cli.fill(hostile)
    assert cli.told("stats", cli.url)["queues"][0]["queue"] == cli.hostile
    lines = [line for line in cli.shown("stats", cli.url).splitlines() if "evil" in line]
    assert len(lines) == 4
    assert all("\\x1b]0;owned\\x07 \\u202e" in line for line in lines)


@pytest.mark.parametrize("as_json", [True, False])
def test_watch_goes_on_until_ctrl_c(cli: Any, as_json: bool) -> None:
    args = [sys.executable, "-m", "hive_state_core.cli", "stats", cli.url, "--watch", "0.2"]
    process = subprocess.Popen(
        [*args, *(["--json"] if as_json else [])], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    looks = 0
    while looks < 3:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        looks += "There is no task." in line if not as_json else json.loads(line).keys() == KEYS
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "hive-state: interrupted\n"
    assert "\x1b" not in out


def test_watch_draws_over_what_was_there_on_a_terminal(cli: Any) -> None:
    ours, theirs = pty.openpty()
    args = [sys.executable, "-m", "hive_state_core.cli", "stats", cli.url, "--watch", "0.2"]
    process = subprocess.Popen(args, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    drawn = b""
    while drawn.count(b"There is no task.") < 2:
        drawn += os.read(ours, 10_000)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == b"hive-state: interrupted\n"
    os.close(ours)
    assert process.returncode == 130
    assert drawn.count(b"\x1b[H\x1b[J") >= 2


def test_refused_calls_are_told(cli: Any) -> None:
    async def refused(hive: Store) -> None:
        hive.share_stats(every=60)
        await hive.records.put("c", "k", 1)
        with pytest.raises(AlreadyExists):
            await hive.records.put("c", "k", 1, if_absent=True)

    cli.fill(refused)
    assert cli.told("stats", cli.url)["errors"] == {"already_exists": 1}
    assert "already_exists" in cli.shown("stats", cli.url)


@pytest.fixture
def server() -> Iterator[Any]:
    with postgres_server() as server:
        yield server


def test_watch_ends_with_a_sentence_when_the_server_is_killed(cli: Any, server: Any) -> None:
    assert cli.run("init", server.url).exit_code == 0
    url = f"{server.url}?command_timeout=1&connect_timeout=1"
    args = [sys.executable, "-m", "hive_state_core.cli", "stats", url, "--watch", "0.2", "--json"]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["backend"] == "postgres"
    server.kill()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 5, err
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "unavailable"
    assert err.startswith("hive-state: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "code"),
    [(("--watch", "0"), 2), (("--watch", "soon"), 2), (("--namespace", ""), 2), (("extra",), 2)],
)
def test_a_wrong_command_line(cli: Any, args: tuple[str, ...], code: int) -> None:
    result = cli.run("stats", cli.url, *args)
    assert result.exit_code == code
    assert result.stdout == ""
