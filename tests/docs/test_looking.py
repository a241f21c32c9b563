"""The page for operators: its commands are run, and print what stands there, but for numbers.

`python tests/docs/test_looking.py` writes what they print into the page.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path
from socket import gethostname

import pytest
from click.testing import CliRunner

from hive_state_core.cli import main

PAGE = Path(__file__).parents[2] / "docs/operate/looking.md"
BLOCK = re.compile(r"(?<=^```)(python|console)\n(.*?)(?=^```$)", re.DOTALL | re.MULTILINE)


def rendered(page: str) -> str:
    """The page, with what its blocks print, run in an empty working directory."""
    names: dict[str, object] = {}
    return BLOCK.sub(lambda block: _run(block, names), page)


def _run(block: re.Match[str], names: dict[str, object]) -> str:
    kind, text = block.groups()
    if kind == "python":
        code = compile(text, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        asyncio.run(eval(code, names))
        return block[0]
    commands = [line for line in text.splitlines() if line.startswith("$ ")]
    return "console\n" + "\n".join(f"{command}\n{_printed(command)}" for command in commands)


def _printed(command: str) -> str:
    name, *args = command.removeprefix("$ ").split()
    assert name == "hive-state"
    args += ["--latency", "10"] if args[0] == "health" else []  # the machine may be busy
    result = CliRunner().invoke(main, args)
    assert result.exit_code in (0, 3), result.output
    return result.output.replace(str(Path.cwd()), "/srv/hive").replace(f" {gethostname()}:", " host:")


def without_numbers(page: str) -> str:
    """What does not depend on when and where it is run: what `doctor` says does, and what SQLite has."""
    page = re.sub(r"^\$ hive-state doctor.*?(?=^```$)", "", page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"^.*WAL-reset bug.*\n", "", page, flags=re.MULTILINE)
    page = re.sub(r"(?<=as told by ).*", "", page)
    page = re.sub(r"[0-9a-f]{32}|\d[\d,.:]*", "#", page)
    return re.sub(r" +", " ", page)


def test_the_page_shows_what_the_commands_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIVE_STATE_URL", raising=False)
    page = PAGE.read_text(encoding="utf-8")
    assert without_numbers(rendered(page)) == without_numbers(page)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        new = rendered(PAGE.read_text(encoding="utf-8"))
    sys.exit(PAGE.write_text(new, encoding="utf-8") == 0)
