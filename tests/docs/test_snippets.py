"""The README and some pages do as they say, block after block, in one new folder.

Every `python` block runs; a `toml` block with a title is written to that file; on the pages of CONSOLE every
`$ hive-state` runs and prints what follows it, where `...` stands for anything.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from hive_state_core.cli import main

ROOT = Path(__file__).parents[2]
CONSOLE = ["docs/reference/configuration.md"]
PAGES = [
    "README.md",
    "docs/get-started.md",
    "docs/blocking.md",
    "docs/migrate-from-leanvibe.md",
    "docs/extend/backend-in-100-lines.md",
    *CONSOLE,
]
BLOCK = re.compile(r'^```(python|console|toml title="([^"]+)")\n(.*?)^```', re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
async def test_the_blocks_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in ("HIVE_STATE_URL", "HIVE_STATE_USE", "HIVE_STATE_CONFIG"):
        monkeypatch.delenv(setting, raising=False)
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert blocks
    names: dict[str, object] = {}
    for kind, title, block in blocks:
        if kind == "python":
            await _run(compile(block, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        elif title:
            Path(title).write_text(block)
        elif page in CONSOLE:
            await asyncio.to_thread(_follow, block)
    assert capsys.readouterr().out


async def _run(code: object, names: dict[str, object]) -> None:
    running = eval(code, names)  # type: ignore[arg-type]
    if inspect.isawaitable(running):
        await running


def _follow(block: str) -> None:
    for command, expected in re.findall(r"^\$ hive-state (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        printed = CliRunner().invoke(main, shlex.split(command)).output
        pattern = re.escape(_narrow(expected)).replace("\\.\\.\\.\\\n", "(?:.*\n)*").replace(r"\.\.\.", ".*")
        assert re.fullmatch(pattern, _narrow(printed)), printed


def _narrow(text: str) -> str:
    """With columns of any width."""
    return re.sub(" +", " ", text)


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in nav
