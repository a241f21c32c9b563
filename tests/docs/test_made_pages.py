"""The references of the backends and the commands say what these declare."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", ["backends", "commands"])
def test_the_page_is_made_from_the_declarations(name: str) -> None:
    page = HERE.parents[1] / "docs" / "reference" / f"{name}.md"
    code = f"import {name}_page; print({name}_page.page(), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    assert page.read_text() == done.stdout, f"run: python tests/docs/{name}_page.py"
