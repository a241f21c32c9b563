"""`hive-state config`: what it shows and where that comes from, what it finds wrong, and no secret in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hive_state_core.cli import main

SECRET = "hunter2"
WARNING = "is a secret in plain words; better env:NAME or file:PATH"
FILE = f"""
use = "local"
[stores.local]
url = "sqlite:///hive.db?timeout=5"
[stores.prod]
backend = "postgres"
host = "db"
database = "hive"
username = "env:PROD_USER"
password = "env:PROD_PASSWORD"
command_timeout = "1m"
pgbouncer = true
[stores.plain]
url = "postgres://hive:{SECRET}@db/hive"
sslpassword = "{SECRET}"
[retention]
completed = "7d"
checkpoints = 10
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in ("HIVE_STATE_URL", "HIVE_STATE_USE", "HIVE_STATE_CONFIG"):
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv("PROD_USER", "ann")
    monkeypatch.setenv("PROD_PASSWORD", SECRET)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hive-state.toml"
    path.write_text(FILE)
    return path


def run(*args: str) -> Result:
    done = CliRunner().invoke(main, ["config", *args])
    assert SECRET not in done.output
    return done


def settings(*args: str) -> dict[str, tuple[Any, str]]:
    done = run("show", *args, "--json")
    assert done.exit_code == 0, done.output
    return {each["key"]: (each["value"], each["source"]) for each in json.loads(done.stdout)["settings"]}


# --- show ------------------------------------------------------------------------------------------


def test_show_without_a_configuration() -> None:
    found = settings()
    assert found["file"] == (None, "there is none")
    assert found["store"] == ("sqlite:///hive-state.db", "default")
    assert found["path"] == ("hive-state.db", "default")
    assert found["synchronous"] == ("FULL", "default")
    assert found["retention.completed"] == ("forever", "default")
    assert found["retention.commits"] == (86400, "default")


def test_show_of_a_store_by_url(file: Path, tmp_path: Path) -> None:
    found = settings()
    assert found["file"] == ("hive-state.toml", "the nearest one, upward from here")
    assert found["store"] == ("local", "hive-state.toml:2")
    assert found["stores.local.backend"] == ("sqlite", "hive-state.toml:4")
    assert found["stores.local.path"] == (f"{tmp_path}/hive.db", "hive-state.toml:4")
    assert found["stores.local.timeout"] == (5, "hive-state.toml:4")
    assert found["stores.local.synchronous"] == ("FULL", "default")
    assert found["retention.completed"] == (7 * 86400, "hive-state.toml:17")
    assert found["retention.checkpoints"] == (10, "hive-state.toml:18")


def test_show_of_a_store_by_options(file: Path) -> None:
    found = settings("prod")
    assert found["store"] == ("prod", "argument")
    assert found["stores.prod.host"] == ("db", "hive-state.toml:7")
    assert found["stores.prod.username"] == ("ann", "env:PROD_USER in hive-state.toml:9")
    assert found["stores.prod.password"] == ("***", "env:PROD_PASSWORD in hive-state.toml:10")
    assert found["stores.prod.command_timeout"] == (60, "hive-state.toml:11")
    assert found["stores.prod.pgbouncer"] == (True, "hive-state.toml:12")
    assert found["stores.prod.port"] == (5432, "default")
    assert found["stores.prod.sslpassword"] == (None, "default")


def test_show_follows_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_STATE_USE", "prod")
    assert settings()["store"] == ("prod", "HIVE_STATE_USE")
    monkeypatch.setenv("HIVE_STATE_URL", f"postgres://u:{SECRET}@h/d?sslpassword={SECRET}")
    found = settings()
    assert found["store"] == ("postgres://u:***@h/d?sslpassword=***", "HIVE_STATE_URL")
    assert found["password"] == found["sslpassword"] == ("***", "HIVE_STATE_URL")
    monkeypatch.setenv("HIVE_STATE_CONFIG", str(file))
    assert settings()["file"] == ("hive-state.toml", "HIVE_STATE_CONFIG")


def test_show_for_people(file: Path) -> None:
    lines = [line.split() for line in run("show", "prod").stdout.splitlines()]
    assert ["stores.prod.command_timeout", "60"] in lines
    assert ["stores.prod.pgbouncer", "true"] in lines
    assert ["stores.prod.password", "***"] in lines
    assert ["stores.prod.sslmode", "-"] in lines
    assert "stores.prod.password" in run("show", "prod", "--sources").stdout
    assert "env:PROD_PASSWORD in hive-state.toml:10" in run("show", "prod", "--sources").stdout


def test_show_of_what_cannot_be_used(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROD_PASSWORD")
    done = run("show", "prod", "--json")
    assert done.exit_code == 2
    said = "hive-state.toml:10: stores.prod.password: the environment variable PROD_PASSWORD is not set"
    assert json.loads(done.stdout) == {"error": {"code": "config", "message": said}}


# --- check -----------------------------------------------------------------------------------------


def test_check_of_what_is_right(file: Path, tmp_path: Path) -> None:
    done = run("check")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"{tmp_path}/hive-state.toml",
        "in use  ok, local",
        f"local   ok, sqlite:///{tmp_path}/hive.db?timeout=5",
        "prod    ok, postgres://ann:***@db/hive?command_timeout=1m&pgbouncer=true",
        "plain   ok, postgres://hive:***@db/hive?sslpassword=***",
        f"warning: hive-state.toml:15: stores.plain.sslpassword {WARNING}",
        f"warning: hive-state.toml:14: stores.plain.url {WARNING}",
    ]
    assert not (tmp_path / "hive.db").exists()


def test_check_finds_everything_that_is_wrong(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(FILE.replace('use = "local"', 'use = "locals"').replace("pgbouncer", "pgbounce"))
    done = run("check", "--json")
    assert done.exit_code == 2
    told = json.loads(done.stdout)
    assert told["ok"] is False
    errors = {each["name"]: each["error"] for each in told["stores"]}
    assert errors == {
        None: "there is no store 'locals' in hive-state.toml; did you mean local?",
        "local": None,
        "prod": "hive-state.toml:12: stores.prod.pgbounce: the backend postgres has no option 'pgbounce';"
        " did you mean pgbouncer?",
        "plain": None,
    }


def test_check_of_a_file_that_cannot_be_read(file: Path) -> None:
    file.write_text("stors = 1")
    done = run("check")
    assert done.exit_code == 2
    assert "hive-state.toml:1: stors is not known; did you mean stores?" in done.stderr


def test_check_without_a_file() -> None:
    done = run("check")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "There is no configuration file.",
        "in use  ok, sqlite:///hive-state.db",
    ]


# --- init ------------------------------------------------------------------------------------------


def test_init_writes_a_file_that_works_and_never_overwrites(tmp_path: Path) -> None:
    assert json.loads(run("init", "--json").stdout) == {"file": f"{tmp_path}/hive-state.toml"}
    assert settings()["stores.local.path"][0] == f"{tmp_path}/hive-state.db"
    (tmp_path / "hive-state.toml").write_text("use = 'mine'")
    done = run("init")
    assert done.exit_code == 2
    assert "hive-state.toml is there already; it was left as it is" in done.stderr
    assert (tmp_path / "hive-state.toml").read_text() == "use = 'mine'"


def test_everything_in_the_file_of_init_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init")
    path = tmp_path / "hive-state.toml"
    lines = [
        line.removeprefix("# ") for line in path.read_text().splitlines() if not line.startswith("# The ")
    ]
    path.write_text("\n".join(lines))
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert run("check").exit_code == 0
    assert settings("prod")["retention.dead"][0] == 30 * 86400
