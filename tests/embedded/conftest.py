"""A place for temporary directories that the account of a server can reach, and no settings from outside."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIVE_STATE_TEST_POSTGRES_URL", raising=False)
    monkeypatch.delenv("HIVE_STATE_EMBEDDED_POSTGRES", raising=False)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where servers make their directories in this test: pytest's own are closed to other accounts."""
    made = Path(tempfile.mkdtemp(prefix="hive-")).resolve()
    made.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    yield made
    shutil.rmtree(made, ignore_errors=True)
