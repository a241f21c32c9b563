"""`hive-state migrate` of a hive that works on, as a user calls it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from hive_state_core import open_store
from hive_state_core.choosing import choose
from hive_state_core.cli import main
from hive_state_core.cli.migrate_progress import in_words
from hive_state_core.features import Facility, Features
from hive_state_core.migration.opening import live, prepare
from hive_state_core.migration.presence import instant
from hive_state_core.migration.progress import PROGRESS, Progress
from hive_state_core.migration.working import Worker
from hive_state_core.spi import Driver

CONFIG = """
use = "{use}"
[stores.local]
url = "sqlite:///local.db"
[stores.prod]
url = "sqlite:///prod.db"
[stores.moving]
backend = "dual-write"
primary = "local"
secondary = "prod"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    use("local")
    put(1)
    return tmp_path


def use(name: str) -> None:
    Path("hive-state.toml").write_text(CONFIG.format(use=name))


def put(value: int) -> None:
    async def body() -> None:
        async with open_store() as hive:
            await hive.records.put("c", "k", value)

    asyncio.run(body())


def got(name: str) -> object:
    async def body() -> object:
        async with open_store(name, follow=False) as hive:
            record = await hive.records.get("c", "k")
            return None if record is None else record.value

    return asyncio.run(body())


def migrate(*words: str) -> Result:
    return CliRunner().invoke(main, ["migrate", *words])


def told(*words: str) -> dict[str, object]:
    done = migrate(*words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_whole_way() -> None:
    plan = told("plan", "--from", "local", "--to", "prod")
    assert plan["obstacles"] == []
    assert told("status", "--to", "prod")["phase"] == "legacy"
    started = told("start", "--from", "local", "--to", "prod")
    assert (started["phase"], started["next"]) == ("verified", "hive-state migrate switch")
    assert told("pause")["paused"] is True
    assert told("resume", "--chunk", "7")["chunk"] == 7
    switched = told("switch")
    assert switched["lives_in"] == "prod"
    put(2)
    assert (got("local"), got("prod")) == (1, 2)
    use("moving")
    assert told("status")["phase"] == "reverse"
    assert told("rollback")["lives_in"] == "local"
    assert got("local") == 2
    refused = migrate("switch")
    assert refused.exit_code == 4
    assert "the phase is copied, not verified" in refused.stderr
    assert told("advance")["phase"] == "verified"
    assert told("switch")["lives_in"] == "prod"
    asked = migrate("complete")
    assert asked.exit_code == 2
    assert "there is nobody to ask: add --yes" in asked.stderr
    use("prod")  # what the store in use says of the other one is enough
    assert told("complete", "--yes")["phase"] == "completed"
    use("local")
    put(3)
    assert (got("local"), got("prod")) == (2, 3)
    assert told("status", "--from", "local", "--to", "prod")["lives_in"] == "prod"


def test_after_its_end() -> None:
    use("moving")  # it says which stores are meant
    assert told("plan")["obstacles"] == []
    told("start")
    told("switch")
    told("complete", "--yes")
    assert told("switch")["phase"] == "completed"
    refused = migrate("rollback")
    assert refused.exit_code == 1
    assert "there is no way back" in refused.stderr
    assert told("cancel") == {"cancelled": False}
    assert told("status")["phase"] == "completed"


def test_the_next_command_names_the_stores_that_nobody_else_does() -> None:
    use("prod")
    started = told("start", "--from", "local", "--to", "sqlite:///other folder.db")
    assert started["next"] == "hive-state migrate switch --from local --to 'sqlite:///other folder.db'"
    use("local")
    assert told("status")["next"] == "hive-state migrate switch"


def test_a_second_migration_beside_the_first() -> None:
    told("start", "--from", "local", "--to", "prod")
    for sides in (("local", "sqlite:///third.db"), ("prod", "local"), ("prod", "sqlite:///third.db")):
        refused = migrate("start", "--from", sides[0], "--to", sides[1])
        assert refused.exit_code == 1
        assert "local moves to prod already: with --from local --to prod" in refused.stderr
    assert told("status")["phase"] == "verified"


def test_two_stores_are_no_side() -> None:
    for sides in (("moving", "prod"), ("local", "moving")):
        for command in (("start",), ("cancel",), ("run", "--offline")):
            refused = migrate(*command, "--from", sides[0], "--to", sides[1])
            assert refused.exit_code == 2, refused.output
            assert "moving is two stores, local and prod" in refused.stderr


def test_a_backend_without_replication(broken: Callable[[Callable[[Driver], Driver]], str]) -> None:
    def still(driver: Driver) -> Driver:
        features = replace(driver.features, facilities=driver.features.facilities - {Facility.REPLICATION})
        return StubDriver(driver, features)

    url = broken(still)
    assert CliRunner().invoke(main, ["init", url]).exit_code == 0
    refused = migrate("start", "--from", "local", "--to", url)
    assert refused.exit_code == 1
    assert "a store of the backend wrong: it offers no replication" in refused.stderr


class StubDriver:
    """A driver with other features."""

    def __init__(self, driver: Driver, features: Features) -> None:
        self._driver = driver
        self.features = features

    def __getattr__(self, name: str) -> object:
        return getattr(self._driver, name)


def test_what_people_read() -> None:
    assert migrate("start", "--from", "local", "--to", "prod").exit_code == 0
    shown = migrate("status").stdout
    assert "local -> prod" in shown
    assert "verified (4 of 7)" in shown
    assert "next       hive-state migrate switch" in shown
    switched = migrate("switch").stdout
    assert switched.startswith("the hive lives in prod; writes waited for")


async def to_dual(progress: Progress | None = None, paused_by: str | None = None) -> None:
    one, other = choose("local"), choose("prod")
    await prepare(one, other)
    async with live(one, other) as ready:
        job = await ready.capture()
        if progress is not None:
            now = replace(progress, at=await instant(ready.drivers[1]))
            await ready.target.note({PROGRESS: msgspec.json.encode(now)})
        if paused_by is not None:
            await ready.pause(job, paused_by)


def test_how_long_it_takes_still() -> None:
    asyncio.run(to_dual(Progress(doing="copying", rows=0, rate=0.01, at=0)))
    found = told("status")
    assert (found["doing"], found["done"]) == ("copying", 0)
    assert 90 < float(str(found["left_s"])) <= 100
    assert "copying, 0 %, about 2 min left" in migrate("status").stdout
    paused = told("pause")
    assert [paused[key] for key in ("doing", "done", "left_s", "paused_by")] == [None] * 4


@pytest.mark.parametrize(
    ("left", "words"),
    [(None, "comparing"), (89.4, "comparing, about 89 s left"), (7500, "comparing, about 2 h 5 min left")],
)
def test_what_is_left_in_words(left: float | None, words: str) -> None:
    assert in_words({"doing": "comparing", "done": None, "left_s": left}) == words


def test_who_waits_because_a_trigger_paused_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(to_dual(paused_by="slow writes"))
    assert "dual (2 of 7), paused by the trigger 'slow writes'" in migrate("status").stdout
    turn = Worker.turn

    async def resumed(worker: Worker) -> bool:
        await worker._live.change(paused=False, paused_by=None)
        return await turn(worker)

    monkeypatch.setattr(Worker, "turn", resumed)
    started = migrate("start", "--from", "local", "--to", "prod")
    assert started.exit_code == 0, started.output
    assert "paused by the trigger 'slow writes': `hive-state migrate resume` goes on" in started.stderr


def test_cancelled() -> None:
    told("start", "--from", "local", "--to", "prod")
    assert told("rollback")["phase"] == "prepared"
    assert told("advance")["phase"] == "verified"
    assert told("cancel") == {"cancelled": True}
    put(2)
    assert told("start", "--from", "local", "--to", "prod")["phase"] == "verified"
    told("switch")
    refused = migrate("cancel")
    assert refused.exit_code == 1
    assert "hive-state migrate rollback" in refused.stderr


def test_wrong_calls() -> None:
    nothing = migrate("status")
    assert nothing.exit_code == 2
    assert "local is in no migration, so --to is needed" in nothing.stderr
    none = migrate("switch", "--to", "prod")
    assert none.exit_code == 1
    assert "hive-state migrate start" in none.stderr
    assert migrate("start", "--from", "local", "--to", "local").exit_code == 2
    assert migrate("run", "--dry-run").exit_code == 2


def test_weak_durability_is_refused() -> None:
    Path("hive-state.toml").write_text(
        CONFIG.format(use="local").replace("prod.db", "prod.db?synchronous=NORMAL")
    )
    refused = migrate("plan", "--from", "local", "--to", "prod", "--json")
    assert refused.exit_code == 4
    assert "--accept-durability" in json.loads(refused.stdout)["obstacles"][0]
    assert migrate("start", "--from", "local", "--to", "prod").exit_code == 4
    assert told("start", "--from", "local", "--to", "prod", "--accept-durability")["phase"] == "verified"


def test_run_works_until_ctrl_c() -> None:
    told("start", "--from", "local", "--to", "prod")
    command = [sys.executable, "-m", "hive_state_core.cli", "migrate", "run"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for value in range(100, 1000):
            put(value)
            if got("prod") == value:
                break
        assert got("prod") == value
    finally:
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "interrupted" in errors


def test_a_backup_beforehand() -> None:
    planned = migrate("plan", "--from", "local", "--to", "prod", "--backup", "before.jsonl", "--json")
    assert planned.exit_code == 0, planned.output
    assert "warnings" in json.loads(planned.stdout)
    restored = CliRunner().invoke(main, ["import", "sqlite:///restored.db", "--file", "before.jsonl"])
    assert restored.exit_code == 0, restored.output
    again = migrate("start", "--from", "local", "--to", "prod", "--backup", "before.jsonl")
    assert again.exit_code == 2
    assert "before.jsonl" in again.output


def test_only_poison_is_waived() -> None:
    assert migrate("start", "--from", "local", "--to", "prod").exit_code == 0
    waived = migrate("verify", "--waive", "record c / k")
    assert waived.exit_code == 2
    assert "is not poison" in waived.output


def test_advance_goes_on_where_a_rollback_was_killed() -> None:
    """What was copied before is no part of the new copy: what was written since was not marked."""
    migrate("start", "--from", "local", "--to", "prod")

    async def killed() -> None:
        async with live(choose("local"), choose("prod")) as ready:
            await ready.release()

    asyncio.run(killed())
    put(2)
    advanced = told("advance")
    assert (advanced["phase"], advanced["repaired"]) == ("verified", 0)


def test_status_before_there_is_anything(folder: Path) -> None:
    """The store to which the hive may move some day is not made by looking."""
    found = told("status", "--from", "local", "--to", "prod")
    assert (found["phase"], found["lives_in"]) == ("legacy", "local")
    assert found["next"] == "hive-state migrate plan --from local --to prod"
    assert not (folder / "prod.db").exists()
    assert "next" in migrate("status", "--from", "local", "--to", "prod").stdout
    migrate("plan", "--from", "local", "--to", "prod")
    assert told("status", "--from", "local", "--to", "prod")["next"] == (
        "hive-state migrate start --from local --to prod"
    )
