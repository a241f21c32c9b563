"""What is told to a user can be looked at by who has installed the wheel, which has no `docs/`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def texts(source: str) -> Iterator[str]:
    """All but docstrings."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def test_no_message_sends_a_user_to_a_file_of_the_repository() -> None:
    sources = [path for top in ("hive_state_core", "backends") for path in (ROOT / top).rglob("*.py")]
    assert len(sources) > 100
    naming = {path: source for path in sources if "docs/" in (source := path.read_text())}
    assert [
        path.name for path, source in naming.items() if any("docs/" in text for text in texts(source))
    ] == []
