"""A user with the rights that the page for operators gives it, by the port and by the unix socket."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.report import Status
from hive_state_conformance.runner import conform
from hive_state_core import open_store
from hive_state_core.embedded import Server
from hive_state_core.embedded.valkey import SOCKET
from hive_state_core.features import Durability
from hive_state_core.url import parse_url
from hive_state_redis.connecting import Link

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "redis.md"
RULE = re.compile(r"^ACL SETUSER hive on >PASSWORD (.+) (\+info \+config\|get)$", re.MULTILINE)
SELECT = ("atomic.*", "group.claim.with_tasks", "trip.outcome.*", "wake.tasks")


@pytest.fixture
async def users(link: Link) -> AsyncIterator[None]:
    """`hive` as on the page, and `blind`, which may not look at the server's settings."""
    (rule,) = RULE.finditer(PAGE.read_text())
    rights, looking = rule[1].split(), rule[2].split()
    await link.call("ACL", "SETUSER", "hive", "on", ">secret", *rights, *looking)
    await link.call("ACL", "SETUSER", "blind", "on", ">secret", *rights)
    yield
    await link.call("ACL", "DELUSER", "hive", "blind")


def place(server: Server, way: str) -> str:
    return (
        f"127.0.0.1:{parse_url(server.url).port}" if way == "redis" else f"{server.socket_directory}/{SOCKET}"
    )


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(("user", "scheme"), [("hive", "redis+unix"), ("blind", "redis")])
async def test_the_suite_holds(shared_server: Server, user: str, scheme: str) -> None:
    """A part of it, which uses every table of keys; the whole is `hive-state conform` with such a URL."""
    url = f"{scheme}://{user}:secret@{place(shared_server, scheme)}"
    report = await conform(UrlHarness(url), select=SELECT)
    run = [result.status for result in report.results if result.status is not Status.NOT_RUN]
    assert len(run) > len(SELECT)
    assert set(run) == {Status.PASSED}
    async with open_store(url, janitor=False) as hive:
        knows = hive.features.durability is Durability.FSYNC
        assert knows == (user == "hive")
