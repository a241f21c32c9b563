"""The reference of the backends says what they declare."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_page_is_made_from_the_declarations() -> None:
    page = HERE.parents[1] / "docs" / "reference" / "backends.md"
    code = "import backends_page; print(backends_page.page(), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    assert page.read_text() == done.stdout, "run: python tests/docs/backends_page.py"
