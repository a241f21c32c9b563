"""A small hive to move, and the stores to move it between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from hive_state_conformance.env import Env
from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.life import live
from hive_state_core import open_store
from hive_state_core.choosing import Choice, choose


@pytest.fixture
def new_store(tmp_path: Path) -> Callable[[str], Choice]:
    """A store of a backend that is not there yet."""

    def make(backend: str) -> Choice:
        name = uuid4().hex
        url = f"sqlite:///{tmp_path}/{name}.db" if backend == "sqlite" else f"memory://{name}"
        return choose(url)

    return make


async def populate(choice: Choice, rounds: int = 3) -> None:
    """Some of everything."""
    async with open_store(choice, janitor=False) as hive:
        env = Env(UrlHarness(""), hive.namespace, hive)
        for _ in range(rounds):
            await live(env)
