"""The workloads of `hive-state bench` under pytest-benchmark: to save runs and compare them with later ones.

    nox -s bench                                  # all
    nox -s bench -- -k "put and sqlite"           # some
    nox -s bench -- --benchmark-autosave          # keep; later: --benchmark-compare

A round is 100 agents that await 20 operations each, one after the other. Not part of the tests: the file's
name keeps it from being collected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hive_state_conformance.bench_store import StoreSide
from hive_state_conformance.workloads import WORKLOADS
from hive_state_core import open_store
from hive_state_core.baselines import Baseline
from hive_state_core.embedded import postgres_server
from hive_state_core.plugins import backend_for
from hive_state_core.url import parse_url

AGENTS = 100
STEPS = 20
ROUNDS = 20


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as server:
        asyncio.run(open_store(server.url).upgrade_schema())
        yield server.url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bench.db?synchronous=FULL"
    return "memory://" if request.param == "memory" else request.getfixturevalue("postgres")


@pytest.fixture(params=["hive-state", "by hand"])
def side(request: pytest.FixtureRequest, url: str) -> Baseline:
    if request.param == "hive-state":
        return StoreSide(url)
    make = backend_for(parse_url(url)).baseline
    if make is None:
        pytest.skip("this backend has no hand-written baseline")
    return make(parse_url(url))


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.timeout(300)
def test_workload(benchmark: Any, side: Baseline, name: str) -> None:
    with asyncio.Runner() as runner:
        runner.run(side.open())
        try:
            workload = WORKLOADS[name](side, AGENTS)
            runner.run(workload.prepare())

            async def agent(number: int) -> None:
                for _ in range(STEPS):
                    assert await workload.step(number), "nothing was left to do"

            async def work() -> None:
                async with asyncio.TaskGroup() as group:
                    for number in range(AGENTS):
                        group.create_task(agent(number))

            benchmark.extra_info["operations in a round"] = AGENTS * STEPS
            benchmark.pedantic(
                lambda: runner.run(work()),
                setup=lambda: runner.run(workload.refill(AGENTS * STEPS)),
                rounds=ROUNDS,
                warmup_rounds=2,
            )
            assert runner.run(workload.verdict()) == "ok"
        finally:
            runner.run(side.close())
