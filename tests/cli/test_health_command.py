"""`hive-state health`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hive_state_core import Store, open_store
from hive_state_core.embedded import postgres_server
from hive_state_core.health import Thresholds

KEYS = {
    *("url", "backend", "namespace", "lives_in", "status", "at"),
    *("checks", "pools", "memory", "cache", "error"),
}
PATIENT = ("--latency", "10")
"""A busy machine is not what these tests are about."""

CHECK = {"name", "subject", "status", "value", "threshold", "sentence"}


def test_an_empty_store_is_well(cli: Any) -> None:
    found = cli.told("health", cli.url, *PATIENT)
    assert found.keys() == KEYS
    assert all(check.keys() == CHECK for check in found["checks"])
    assert (found["status"], found["error"], found["url"]) == ("ok", None, cli.url)
    assert "is well" in cli.shown("health", cli.url, *PATIENT)


def test_what_is_above_its_threshold_ends_with_3(cli: Any) -> None:
    async def work(hive: Store) -> None:
        await hive.tasks.enqueue_many(cli.hostile.replace("\n", "")[:100], list(range(5)))

    cli.fill(work)
    assert cli.told("health", cli.url, *PATIENT)["status"] == "ok"
    found = cli.told("health", cli.url, "--backlog", "4", *PATIENT, code=3)
    (backlog,) = [check for check in found["checks"] if check["name"] == "backlog"]
    assert (backlog["status"], backlog["value"], backlog["threshold"]) == ("warn", 5, 4)
    shown = cli.shown("health", cli.url, "--backlog", "4", *PATIENT, code=3)
    assert "5 tasks are ready, more than 4" in shown
    assert "[red]x[/red]" in shown
    old = cli.told("health", cli.url, "--backlog", "4", "--age", "0.001", *PATIENT, code=3)
    assert old["status"] == "fail"


def test_a_namespace_is_looked_at_alone(cli: Any) -> None:
    async def work() -> None:
        async with open_store(cli.url, namespace="other") as hive:
            await hive.tasks.enqueue("q", 1)

    asyncio.run(work())
    assert "backlog" not in {check["name"] for check in cli.told("health", cli.url, *PATIENT)["checks"]}
    found = cli.told("health", cli.url, "--namespace", "other", *PATIENT)
    assert found["namespace"] == "other"
    assert "backlog" in {check["name"] for check in found["checks"]}


@pytest.mark.parametrize("wrong", [("--latency", "0"), ("--backlog", "-1"), ("--age", "nan")])
def test_a_threshold_that_is_none_is_a_usage_error(cli: Any, wrong: tuple[str, str]) -> None:
    result = cli.run("health", cli.url, *wrong)
    assert result.exit_code == 2
    assert wrong[0].strip("-") in result.stderr


def test_a_file_that_is_not_there_is_not_made(cli: Any, tmp_path: Path) -> None:
    found = cli.told("health", f"sqlite:///{tmp_path}/typo.db", code=4)
    assert (found["status"], found["error"], found["at"]) == ("fail", "schema_mismatch", None)
    assert not (tmp_path / "typo.db").exists()


@pytest.mark.parametrize("url", ["nowhere://x", "no-such-name", "sqlite"])
def test_a_wrong_url_is_a_usage_error(cli: Any, url: str) -> None:
    assert cli.run("health", url if url != "sqlite" else "sqlite://host/x").exit_code == 2


def test_a_server_that_is_not_there_is_an_answer(cli: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = cli.told("health", f"postgres://u:s3cret@127.0.0.1:{port}/db", code=5)
    (check,) = found["checks"]
    assert (check["name"], check["status"], found["error"]) == ("reachable", "fail", "unavailable")
    assert "s3cret" not in str(found)


@pytest.fixture
def server() -> Iterator[Any]:
    with postgres_server() as server:
        yield server


async def test_a_server_that_is_killed_while_a_store_is_open(server: Any) -> None:
    await open_store(server.url).upgrade_schema()
    async with open_store(f"{server.url}?command_timeout=2&connect_timeout=2") as hive:
        well = await hive.health(Thresholds(latency=10))
        assert well.status == "ok", well.checks
        (pool,) = [check for check in well.checks if check.name == "pool_in_use"]
        assert (pool.subject, pool.threshold) == ("postgresql", 20)
        server.kill()
        health = await hive.health()
        assert health.status == "fail"
        assert health.error is not None
        assert health.error.code == "unavailable"
