"""What the tests of the commands share that look at a store in use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hive_state_core import Store, open_store
from hive_state_core.cli import main
from hive_state_core.plugins import Backend, backend_for, register_backend
from hive_state_core.spi import Driver
from hive_state_core.url import StoreURL, parse_url

Work = Callable[[Store], Awaitable[object]]
Wrong = Callable[[Driver], Any]
"""Makes of a driver one that is wrong."""


class Cli:
    """The command line, and a store `url` to look at."""

    hostile = "evil\x1b]0;owned\x07\n\u202e\u65e5\u672c\u8a9e [red]x[/red]"
    """Steers a terminal, breaks a line, turns the direction of text, is wide, is markup."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, args, input=stdin)

    def shown(self, *args: str, code: int = 0) -> str:
        """What a command prints for people. It has nothing in it that steers a terminal."""
        result = self.run(*args)
        assert result.exit_code == code, result.output
        assert all(c.isprintable() or c == "\n" for c in result.output), result.output
        return result.stdout

    def told(self, *args: str, code: int = 0) -> Any:
        """The object that a command prints with --json, and nothing else."""
        result = self.run(*args, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def fill(self, *work: Work) -> None:
        """Let this be done in the store."""

        async def filling() -> None:
            async with open_store(self.url) as hive:
                for each in work:
                    await each(hive)

        asyncio.run(filling())


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """With an empty SQLite store, in a working directory without configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIVE_STATE_URL", raising=False)
    found = Cli(f"sqlite:///{tmp_path}/hive.db")
    found.fill()
    return found


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Callable[[Wrong], str]]:
    """Registers a driver that is wrong, over SQLite's; the URL of a store with it."""
    real = parse_url(f"sqlite:///{tmp_path}/wrong.db?synchronous=NORMAL")
    undo = []

    def register(wrong: Wrong) -> str:
        def connect(url: StoreURL, namespace: str) -> Driver:
            return wrong(backend_for(real).connect(real, namespace))  # type: ignore[no-any-return]

        backend = Backend(name="wrong", schemes=("wrong",), summary="Wrong.", connect=connect)
        undo.append(register_backend(backend))
        return "wrong://user:hush@host/"

    yield register
    for each in undo:
        each.close()
