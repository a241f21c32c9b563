"""`hive-state migrate`, `export` and `import` as a user calls them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hive_state_core import open_store
from hive_state_core.cli import main


def run(*arguments: str, input: bytes | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=input)


def fill(url: str) -> None:
    async def body() -> None:
        async with open_store(url) as hive:
            await hive.records.put_many("c", {f"{n}": {"n": n} for n in range(50)})
            await hive.tasks.enqueue_many("q", list(range(20)))

    asyncio.run(body())


def urls(tmp_path: Path) -> tuple[str, str]:
    one, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other"))
    fill(one)
    return one, other


def test_a_move(tmp_path: Path) -> None:
    one, other = urls(tmp_path)
    plan = run("migrate", "run", "--offline", "--from", one, "--to", other, "--dry-run", "--json")
    assert json.loads(plan.stdout)["rows"] == {"record": 50, "task": 20, "event": 0}
    assert not (tmp_path / "other.db").exists()
    done = run("migrate", "run", "--offline", "--from", one, "--to", other, "--batch-size", "7", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["kinds"]["record"] == {
        "copied": 50,
        "verified": 50,
        "reread": 50,
        "different": 0,
        "missing": 0,
        "extra": 0,
    }
    assert told["rows_per_s"] > 0
    assert run("export", one).stdout_bytes == run("export", other).stdout_bytes
    again = run("migrate", "run", "--offline", "--from", one, "--to", other)
    assert again.exit_code == 4
    assert "has moved to" in again.stderr


def test_a_store_that_the_hive_has_left_is_exported_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = urls(tmp_path)
    config = tmp_path / "hive-state.toml"
    config.write_text(f'use = "one"\n[stores.one]\nurl = "{one}"\n[stores.other]\nurl = "{other}"\n')
    monkeypatch.setenv("HIVE_STATE_CONFIG", str(config))
    assert run("migrate", "run", "--offline", "--from", "one", "--to", "other").exit_code == 0
    left = run("export", "one").stdout_bytes
    asyncio.run(put_more(other))
    assert run("export", "one").stdout_bytes == left
    assert run("export", "other").stdout_bytes != left


async def put_more(url: str) -> None:
    async with open_store(url) as hive:
        await hive.records.put("c", "later", 1)


def test_differences(tmp_path: Path) -> None:
    one, other = urls(tmp_path)
    assert run("migrate", "run", "--offline", "--from", one, "--to", other, "--copy-only").exit_code == 0
    assert run("migrate", "run", "--offline", "--from", one, "--to", other, "--validate-only").exit_code == 0
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("UPDATE records SET value = x'31' WHERE key = '7'")
    db.close()
    found = run("migrate", "run", "--offline", "--from", one, "--to", other, "--validate-only")
    assert found.exit_code == 3
    assert "record c / 7: different" in found.stdout
    told = run("migrate", "run", "--offline", "--from", one, "--to", other, "--validate-only", "--json")
    assert told.exit_code == 3
    assert json.loads(told.stdout)["kinds"]["record"]["different"] == 1


def test_wrong_calls(tmp_path: Path) -> None:
    one, other = urls(tmp_path)
    fill(other)
    refused = run("migrate", "run", "--offline", "--from", one, "--to", other)
    assert refused.exit_code == 4
    assert "holds other data" in refused.stderr
    assert run("migrate", "run", "--offline", "--from", one, "--to", one).exit_code == 2
    assert run("migrate", "run", "--offline", "--from", one).exit_code == 2
    assert (
        run(
            "migrate", "run", "--offline", "--from", one, "--to", other, "--dry-run", "--validate-only"
        ).exit_code
        == 2
    )
    assert run("migrate", "cancel", "--from", one, "--to", other).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("export", "{}"),
        ("migrate", "run", "--offline", "--from", "{}", "--to", "memory://"),
        ("migrate", "plan", "--from", "{}", "--to", "memory://"),
        ("migrate", "start", "--from", "{}", "--to", "memory://"),
    ],
    ids=" ".join,
)
def test_a_mistyped_source_is_told_and_not_created(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Or an empty hive would move, and be told as a success."""
    done = run(*(word.format(f"sqlite:///{tmp_path}/typo.db") for word in words))
    assert done.exit_code == 4
    assert "there is no store at sqlite:///" in done.stderr
    assert not [*tmp_path.iterdir()]


def test_an_export_and_its_import(tmp_path: Path) -> None:
    one, other = urls(tmp_path)
    data = run("export", one).stdout_bytes
    assert len(data.splitlines()) == 72
    told = run("import", other, "--json", input=data)
    assert json.loads(told.stdout) == {"imported": 70}
    assert run("export", other).stdout_bytes == data
    path = tmp_path / "export.jsonl"
    path.write_bytes(data[:-9])
    third = f"sqlite:///{tmp_path}/third.db"
    cut = run("import", third, "--file", str(path))
    assert cut.exit_code == 2
    assert "line 72" in cut.stderr
    path.write_bytes(data)
    assert run("import", third, "--file", str(path)).exit_code == 0
