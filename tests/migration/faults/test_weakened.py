"""Drills that hold, and that find each weakening when it is switched on in the processes that take part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from hive_state_core.embedded import postgres_server
from tests.models.states import Rules

from .drills import DRILLS, a_writer_that_saw_no_sink
from .hive import ALL, Hive, store_of

pytestmark = pytest.mark.timeout(240)

SHORT = ["expects_nothing"]


@contextmanager
def hive_for(folder: Path, name: str) -> Iterator[Hive]:
    if DRILLS[name] is not a_writer_that_saw_no_sink:
        with Hive(folder) as hive:
            yield hive
        return
    with postgres_server() as server, Hive(folder, source=store_of(server.url, "local")) as hive:
        yield hive


def test_every_weakening_of_the_model_has_a_drill() -> None:
    assert [*DRILLS][:-1] == [field.name for field in fields(Rules)]
    assert [*DRILLS][-1] == "expects_nothing"  # the model has one migration, this takes two


@pytest.mark.parametrize("name", {drill: name for name, drill in DRILLS.items()}.values() if ALL else SHORT)
def test_the_drill_holds(tmp_path: Path, name: str) -> None:
    with hive_for(tmp_path, name) as hive:
        DRILLS[name](hive)()


@pytest.mark.parametrize("name", DRILLS if ALL else [])
def test_the_drill_finds_what_is_lacking(tmp_path: Path, name: str) -> None:
    """By its last look alone: whatever fails before that fails here too."""
    with hive_for(tmp_path, name) as hive:
        hive.weakened = name
        check = DRILLS[name](hive)
        with pytest.raises(AssertionError):
            check()
