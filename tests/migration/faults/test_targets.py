"""A hive of several processes on SQLite moves to whatever the configuration names, and back, and there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hive_state_core.embedded import postgres_server, valkey_server

from .hive import ALL, Hive, hybrid_of, store_of

pytestmark = pytest.mark.timeout(240)

START = ("start", "--from", "local", "--to", "prod", "--accept-durability")


@contextmanager
def postgres() -> Iterator[str]:
    with postgres_server() as server:
        yield store_of(server.url)


@contextmanager
def redis() -> Iterator[str]:
    with valkey_server(fsync="always") as server:
        yield store_of(server.url)


@contextmanager
def hybrid() -> Iterator[str]:
    with postgres_server() as durable, valkey_server(fsync="never written") as fast:
        yield hybrid_of(durable.url, fast.url)


TARGETS = [hybrid, postgres, redis] if ALL else [hybrid]


@pytest.mark.parametrize("target", TARGETS)
def test_there_and_back_and_there(tmp_path: Path, target: Callable[[], AbstractContextManager[str]]) -> None:
    with target() as lines, Hive(tmp_path, lines) as hive:
        hive.begin("moving", "local")
        hive.work()
        hive.succeed(*START)
        hive.succeed("switch")
        hive.work()
        hive.succeed("rollback")
        hive.work()
        hive.succeed("advance")
        hive.succeed("switch")
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()
