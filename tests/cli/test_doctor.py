"""`hive-state doctor`."""

from __future__ import annotations

import os
import socket
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

import pytest

from hive_state_core import plugins
from hive_state_core.cli import doctor, surroundings
from hive_state_core.embedded import postgres_server
from hive_state_core.spi import Finding
from hive_state_postgres.examining import examine as examine_postgres
from hive_state_postgres.options import Options
from hive_state_postgres.statements import Statements
from hive_state_sqlite.examining import examine, file_system_of

FINDING = {"name", "status", "sentence", "mend", "free"}


def by_name(found: Any) -> dict[str, Any]:
    return {each["name"]: each for each in found["findings"]}


def test_a_store_that_is_there(cli: Any) -> None:
    found = cli.told("doctor", cli.url)
    assert found.keys() == {"url", "ok", "findings"}
    assert (found["url"], found["ok"]) == (cli.url, True)
    assert all(each.keys() == FINDING for each in found["findings"])
    names = by_name(found)
    assert {
        "python",
        "hive-state",
        "backends",
        "store",
        "sqlite",
        "rights",
        "room",
        "durability",
    } <= names.keys()
    for name in ("schema", "clock", "durability", "rights"):
        assert names[name]["status"] == "ok", names[name]
    assert "0 wrong" in cli.shown("doctor", cli.url)


def test_it_says_what_chose_the_store(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "chosen by the argument" in by_name(cli.told("doctor", cli.url))["store"]["sentence"]
    assert "chosen by default" in by_name(cli.told("doctor"))["store"]["sentence"]
    monkeypatch.setenv("HIVE_STATE_URL", cli.url)
    assert "chosen by HIVE_STATE_URL" in by_name(cli.told("doctor"))["store"]["sentence"]


def test_a_store_that_is_not_there_yet_is_not_made(cli: Any, tmp_path: Path) -> None:
    schema = by_name(cli.told("doctor", f"sqlite:///{tmp_path}/new.db"))["schema"]
    assert (schema["status"], "hive-state init" in schema["mend"]) == ("warn", True)
    assert not (tmp_path / "new.db").exists()


def test_what_is_wrong_comes_with_its_cure_and_ends_with_3(cli: Any, tmp_path: Path) -> None:
    found = cli.told("doctor", f"sqlite:///{tmp_path}/no/x.db", code=3)
    assert found["ok"] is False
    assert by_name(found)["folder"]["mend"] == f"mkdir -p {tmp_path}/no"
    shown = cli.shown("doctor", f"sqlite:///{tmp_path}/no/x.db", code=3)
    assert f"- folder: mkdir -p {tmp_path}/no" in shown
    assert "1 wrong" in shown


def test_a_weaker_durability_is_worth_a_look(cli: Any) -> None:
    found = cli.told("doctor", f"{cli.url}?synchronous=NORMAL")
    assert by_name(found)["durability"]["status"] == "warn"


def test_another_programs_file_is_a_failed_precondition(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to be looked at as one " * 4)
    found = cli.told("doctor", f"sqlite:///{tmp_path}/notes.txt", code=4)
    assert found["findings"][-1]["status"] == "fail"


def test_a_memory_store_needs_no_schema(cli: Any) -> None:
    found = cli.told("doctor", "memory://")
    assert found["ok"]
    assert "schema" not in by_name(found)


def test_a_server_that_is_not_there(cli: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = cli.told("doctor", f"postgres://u:s3cret@127.0.0.1:{port}/db", code=5)
    assert "cannot connect" in found["findings"][-1]["sentence"]
    assert "s3cret" not in str(found) + cli.shown("doctor", found["url"].replace("***", "s3cret"), code=5)


@pytest.mark.parametrize("url", ["nowhere://x", "no-such-name"])
def test_a_wrong_url_is_a_usage_error(cli: Any, url: str) -> None:
    assert cli.run("doctor", url).exit_code == 2


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with postgres_server() as server:
        yield server.url


def test_a_server(cli: Any, server_url: str) -> None:
    before = by_name(cli.told("doctor", server_url))
    assert before["server"]["sentence"].startswith("PostgreSQL ")
    assert before["schema"]["status"] == "warn"
    assert cli.run("init", server_url).exit_code == 0
    after = by_name(cli.told("doctor", server_url))
    for name in ("durability", "connections", "schema", "clock"):
        assert after[name]["status"] == "ok", after[name]
    assert (after["rights"]["status"], after["rights"]["sentence"]) == ("warn", "the user is a superuser")
    many = by_name(cli.told("doctor", f"{server_url}?max_connections=5000"))
    assert (many["connections"]["status"], "PgBouncer" in many["connections"]["mend"]) == ("warn", True)


def test_a_plugin_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_module_at_all", "hive_state")
    monkeypatch.setattr(plugins, "registry", plugins.Registry([broken]))
    found = {each.name: each for each in surroundings.surroundings()}
    assert found["backends"].status == "fail"
    assert (found["plugin"].status, "broken" in found["plugin"].sentence) == ("fail", True)


def test_an_extra_that_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "click>=8",
        "no-such-package>=1; extra == 'cli'",
        "rich; python_version > '3' and extra == \"x\"",
    ]
    monkeypatch.setattr(surroundings, "requires", lambda _: lines)
    found = {each.name: each for each in surroundings.surroundings()}
    assert found["extra cli"].sentence == "not installed (no-such-package): pip install 'hive-state[cli]'"
    assert found["hive-state"].status == "ok"
    monkeypatch.setattr(surroundings, "requires", lambda _: ["no-such-package"])
    assert surroundings.surroundings()[1].status == "fail"


@pytest.mark.parametrize(
    ("at", "status", "word"),
    [(100.5, "ok", ""), (99.0, "ok", ""), (103.1, "warn", "ahead of"), (90.0, "warn", "behind")],
)
def test_clocks(at: float, status: str, word: str) -> None:
    finding = doctor._skew(at, sent=100.0, back=101.0)
    assert finding.status == status
    assert word in finding.sentence


def test_a_newer_schema_and_an_older_one() -> None:
    assert doctor._schema(3, 2, ()).mend == "upgrade hive-state"
    older = doctor._schema(1, 2, ("add a column",))
    assert (older.status, "add a column" in older.sentence) == ("warn", True)


def test_sqlite_on_a_network_share_and_without_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(path: str) -> dict[str, Finding]:
        return {each.name: each for each in examine(path, "FULL", "3.51.3", ())}

    path = f"{tmp_path}/hive.db"
    assert {each.status for each in found(path).values()} == {"ok"}
    monkeypatch.setattr("hive_state_sqlite.examining.file_system_of", lambda _: "nfs4")
    monkeypatch.setattr(os, "access", lambda place, _: place != path)
    Path(path).touch()
    assert found(path)["file system"].status == "fail"
    assert found(path)["rights"].sentence == f"{path} cannot be written"
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage)
    assert found(path)["room"].status == "warn"


class _Usage:
    free = 1000


def test_the_file_system_is_that_of_the_longest_mount_point(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "none / ext4 rw 0 0\nserver:/x /mnt/my\\040share nfs4 rw 0 0\nnone /mnt/my tmpfs rw 0 0\n"
    )
    assert file_system_of("/mnt/my share/hive", str(mounts)) == "nfs4"
    assert file_system_of("/mnt/my/hive", str(mounts)) == "tmpfs"
    assert file_system_of("/mnt/mystery", str(mounts)) == "ext4"
    assert file_system_of("/", str(tmp_path / "none")) is None


ROW = {
    "version": "18.1", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "most": 97,
    "connected": 3, "standby": False, "superuser": False, "tls": True, "remote": True, "there": True,
    "may_create": False, "may_use": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "name", "status", "part"),
    [
        ({}, "rights", "ok", "no superuser"),
        ({"tls": False}, "tls", "warn", "sslmode"),
        ({"standby": True}, "standby", "fail", "primary"),
        ({"fsync": "off"}, "durability", "warn", "turn fsync on"),
        (
            {"synchronous_commit": "off", "full_page_writes": "off"},
            "durability",
            "warn",
            "and full_page_writes",
        ),
        ({"connected": 90}, "connections", "warn", "PgBouncer"),
        ({"may_use": False}, "rights", "fail", "let its owner grant USAGE"),
        ({"there": False}, "rights", "fail", "hive-state init"),
        ({"superuser": True}, "rights", "warn", "role of its own"),
    ],
)
async def test_what_a_postgresql_server_may_lack(
    change: dict[str, Any], name: str, status: str, part: str
) -> None:
    options = types.SimpleNamespace(schema="s", max_connections=20)
    examined = await examine_postgres(_Answers(ROW | change), Statements("s"), cast(Options, options))
    found = {each.name: each for each in examined}
    assert found[name].status == status
    assert part in f"{found[name].sentence} {found[name].mend}"
    assert all(each.status == "ok" for each in found.values() if each.name != name)


class _Answers:
    """A connection that gives one row."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row

    async def fetchrow(self, *_: object) -> dict[str, Any]:
        return self.row
