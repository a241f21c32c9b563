"""The argument STORE of every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hive_state_core.cli import main
from hive_state_core.cli.frame import async_command
from hive_state_core.cli.stores import StoreArgument, store_argument, store_option


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
    for setting in ("HIVE_STATE_URL", "HIVE_STATE_USE", "HIVE_STATE_CONFIG"):
        monkeypatch.delenv(setting, raising=False)
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


CONFIG = """
use = "local"
namespace = "green"
[stores.local]
url = "sqlite:///local.db"
[stores.sqlite]
url = "sqlite:///mine.db"
"""


def test_configured_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hive-state.toml").write_text(CONFIG)
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    for args in ((), ("local",), ("--store", "local")):
        assert run(*args).stdout == f"sqlite:///{tmp_path}/local.db blue\n"
    monkeypatch.setenv("HIVE_STATE_USE", "sqlite")
    assert run().stdout == f"sqlite:///{tmp_path}/mine.db blue\n"
    assert run("memory://").stdout == "memory:// blue\n"


def test_a_configured_name_comes_before_a_preset_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "hive-state.toml").write_text(CONFIG)
    done = run("sqlite")
    assert done.stdout == f"sqlite:///{tmp_path}/mine.db blue\n"
    assert done.stderr == "hive-state: sqlite is the store of that name in hive-state.toml:6, no preset\n"
    refused = run("sqlite", "--embedded")
    assert refused.exit_code == 2
    assert "'sqlite' is the store of that name in hive-state.toml:6, which comes first" in refused.stderr


def test_the_configured_namespace(tmp_path: Path) -> None:
    (tmp_path / "hive-state.toml").write_text(CONFIG)

    @click.command("where")
    @store_option
    @async_command
    async def plain(store: StoreArgument) -> None:
        async with store.open() as hive:
            click.echo(hive.namespace)

    done = CliRunner().invoke(plain, ["--url", "memory://"], standalone_mode=False)
    assert done.stdout == "green\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--embedded",), "--embedded needs a preset: one of sqlite, postgres"),
        (("sqlite:///a.db", "--embedded"), "--embedded starts a preset"),
        (("pg://u:hunter2@h/d", "--embedded"), "--embedded starts a preset"),
        (("postgres",), "the preset postgres needs a server: add --embedded"),
        (("prod",), "there is no store 'prod': no hive-state.toml was found here or in a folder above"),
        (("prod",), "; presets are sqlite, postgres"),
        (("hunter2.db",), "the store is neither a URL, such as sqlite:///hive-state.db, nor the name of"),
        (("sqlit:///a.db",), "did you mean sqlite://?"),
        (("memory://", "--store", "memory://"), "STORE is given twice"),
    ],
)
def test_what_is_no_store_is_a_usage_error(args: tuple[str, ...], said: str) -> None:
    done = run(*args)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "hunter2" not in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("uses = 'local'", "error: hive-state.toml:1: uses is not known; did you mean use?"),
        ("use =", "error: hive-state.toml is no TOML: "),
        ("use = 'local'", "error: there is no store 'local' in hive-state.toml; there are none"),
        (
            "[stores.a]\nurl = 'memory://'",
            "error: hive-state.toml does not say which store to use: use = one of a",
        ),
        (
            "use = 'a'\n[stores.a]\nbackend = 'postgres'\nmin_connection = 1",
            "stores.a.min_connection: the backend postgres has no option 'min_connection'; did you mean min_",
        ),
        (
            "use = 'a'\n[stores.a]\nbackend = 'postgres'\ndatabase = 'd'\npassword = 'env:NO_SUCH_SECRET'",
            "error: hive-state.toml:5: stores.a.password: the environment variable NO_SUCH_SECRET is not set",
        ),
        (
            "use = 'a'\n[stores.a]\nbackend = 'postgres'",
            "error: hive-state.toml:2: stores.a: postgres:// names no database; write postgres://user@host/data",
        ),
    ],
)
def test_a_wrong_configuration_is_a_usage_error(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "hive-state.toml").write_text(text)
    done = run()
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_demo_takes_what_is_configured(tmp_path: Path) -> None:
    (tmp_path / "hive-state.toml").write_text(CONFIG)
    done = CliRunner().invoke(main, ["demo", "--seconds", "0.2", "--agents", "2"])
    assert done.exit_code == 0, done.output
    assert f"2 agents for 0.2 s on local (sqlite:///{tmp_path}/local.db)" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["bench", "--workload", "get", "--seconds", "0.1", "--agents", "1"],
        ["conform", "--select", "cas.stale_refused"],
    ],
)
def test_bench_and_conform_take_what_is_configured_but_no_default(args: list[str], tmp_path: Path) -> None:
    missing = CliRunner().invoke(main, [*args, "--json"])
    assert missing.exit_code == 2
    assert "Missing argument 'STORE': a URL" in missing.stderr
    (tmp_path / "hive-state.toml").write_text(CONFIG)
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    assert "local.db" in done.stdout


def test_a_missing_extra_is_told_with_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['asyncpg'] = None; from hive_state_core.cli import main; main()"
    run = [sys.executable, "-c", code]
    done = subprocess.run([*run, "init", "postgres://h/d"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    said = "the backend postgres needs asyncpg: pip install 'hive-state[postgres]'"
    assert done.stderr == f"hive-state: error: {said}\n"
    listed = subprocess.run([*run, "backends"], capture_output=True, text=True, check=True)
    assert said in listed.stdout
