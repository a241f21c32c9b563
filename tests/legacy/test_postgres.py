"""The import into PostgreSQL, which takes imports by a server-side function of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hive_state_core.embedded import postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as server:
        yield server.url


def test_the_sample(sample: Any, server: str) -> None:
    read = {"agents": 40, "tasks": 1500, "checkpoints": 16, "system_snapshots": 30}
    assert sample.into(server, exit_code=3)["poison"]["tasks"] == 41
    done = sample.into(server, "--nan", "null")
    assert done["imported"] == {**dict.fromkeys(read, 0), "tasks": 41}
    assert done["verified"]["same"] == read
    assert sample.into(server)["unchanged"] == read


def test_large_values_and_poison(legacy: Any, server: str) -> None:
    file = legacy().task("large", metadata='"' + "é" * 5_000_000 + '"').task("nul", metadata='"\\u0000"')
    file.task("poison", metadata='{"a": "' + "x" * 10_000_000).agent(capabilities='["a b", "\\ud83d\\udc1d"]')
    done = file.into(server, exit_code=3)
    assert (done["imported"]["tasks"], done["poison"]["tasks"]) == (2, 1)
    assert done["verified"]["same"]["agents"] == 1
    assert file.into(server, "--waive", "tasks:3")["waived"]["tasks"] == 1
