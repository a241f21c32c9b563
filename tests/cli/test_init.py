"""`hive-state init`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from hive_state_core.cli import main


def test_it_creates_a_store_and_does_nothing_the_second_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hive.db"
    for _ in range(2):
        done = CliRunner().invoke(main, ["init", url, "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["schema"] >= 1
    assert (tmp_path / "hive.db").exists()


def test_a_wrong_url_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["init", "sqlit:///x"])
    assert done.exit_code == 2
    assert "did you mean" in done.stderr


def test_another_programs_file_is_a_failed_precondition(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at as if it were one " * 4)
    done = CliRunner().invoke(main, ["init", f"sqlite:///{path}"])
    assert done.exit_code == 4
