"""The argument STORE of every command."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hive_state_core.cli import main
from hive_state_core.cli.frame import async_command
from hive_state_core.cli.stores import StoreArgument, store_argument


@click.command("where")
@store_argument
@async_command
async def where(store: StoreArgument) -> None:
    """Writes to the store, and says where it is."""
    async with store.open("blue") as hive:
        await hive.records.put("notes", "n", 1)
        click.echo(f"{hive.url} {hive.namespace}")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIVE_STATE_URL", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setitem(main.commands, "where", where)


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["where", *args])


def test_a_url(tmp_path: Path) -> None:
    assert run("sqlite:///a.db").stdout == "sqlite:///a.db blue\n"
    assert (tmp_path / "a.db").exists()


@pytest.mark.parametrize("args", [(), ("sqlite",)])
def test_the_default_and_the_preset_are_a_file_here(args: tuple[str, ...], tmp_path: Path) -> None:
    assert run(*args).stdout == "sqlite:///hive-state.db blue\n"
    assert (tmp_path / "hive-state.db").exists()


def test_an_embedded_file_is_removed(tmp_path: Path) -> None:
    done = run("sqlite", "--embedded")
    assert done.exit_code == 0, done.output
    assert f"sqlite:///{tmp_path}/tmp/hive-state-" in done.stdout
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--embedded",), "--embedded needs a preset: one of sqlite, postgres"),
        (("sqlite:///a.db", "--embedded"), "--embedded starts a preset"),
        (("pg://u:hunter2@h/d", "--embedded"), "--embedded starts a preset"),
        (("postgres",), "the preset postgres needs a server: add --embedded"),
        (("prod",), "there is no store 'prod'"),
    ],
)
def test_what_is_no_store_is_a_usage_error(args: tuple[str, ...], said: str) -> None:
    done = run(*args)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "hunter2" not in done.output
