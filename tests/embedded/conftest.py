"""A place for temporary directories that the account of a server can reach, and no settings from outside."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hive_state_core.embedded.postgres_programs import POSTGRES
from hive_state_core.embedded.valkey_programs import VALKEY

from .leftovers import Hold, Holder


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (POSTGRES, VALKEY):
        monkeypatch.delenv(kind.url_setting, raising=False)
        monkeypatch.delenv(kind.force_setting, raising=False)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where servers make their directories in this test: pytest's own are closed to other accounts."""
    made = Path(tempfile.mkdtemp(prefix="hive-")).resolve()
    made.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def hold(place: Path) -> Iterator[Hold]:
    holders: list[Holder] = []

    def hold(mode: str) -> Holder:
        holders.append(Holder(mode, place))
        return holders[-1]

    yield hold
    for holder in holders:
        holder.process.kill()
        holder.process.communicate()
