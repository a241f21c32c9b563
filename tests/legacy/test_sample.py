"""A real file: what comes over, and that a second run changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hive_state_core import open_store
from hive_state_core.legacy_model import NOTES, Note, decode_note, note_ref
from hive_state_core.model import RecordImage, TaskState

READ = {"agents": 40, "tasks": 1500, "checkpoints": 16, "system_snapshots": 30}
NOTHING = dict.fromkeys(READ, 0)

pytestmark = pytest.mark.no_cover  # thousands of rows; of small files the same code is measured


def test_nan_is_poison_until_a_rule_settles_it(sample: Any, store: str) -> None:
    first = sample.into(store, exit_code=3)
    assert first["read"] == READ
    assert first["imported"] == {**READ, "tasks": 1459}
    assert first["poison"] == {**NOTHING, "tasks": 41}
    assert len(first["poison_rows"]) == 41
    row = first["poison_rows"][0]
    assert row == {"table": "tasks", "rowid": 3, "column": "metadata", "reason": "NaN is no JSON number"}

    again = sample.into(store, exit_code=3)
    assert again["imported"] == NOTHING
    assert again["unchanged"] == first["imported"]

    settled = sample.into(store, "--nan", "null")
    assert settled["imported"] == settled["settled"] == {**NOTHING, "tasks": 41}
    assert settled["unchanged"] == {**READ, "tasks": 1459}
    assert settled["poison"] == NOTHING
    assert settled["verified"]["same"] == READ

    for rules in (["--nan", "null"], []):  # the store remembers what was decided
        last = sample.into(store, *rules)
        assert last["imported"] == last["poison"] == NOTHING
        assert last["unchanged"] == READ


def test_all_at_once(sample: Any, store: str) -> None:
    done = sample.into(store, "--nan", "null", "--batch-size", "7")
    assert done["imported"] == done["verified"]["same"] == READ
    assert done["verified"]["different"] == NOTHING


def test_the_file_and_its_folder_stay_as_they_are(sample: Any, store: str) -> None:
    before = sample.contents()
    sample.into(store, "--nan", "null")
    assert sample.contents() == before
    assert list(before) == ["state_manager.db"]


def test_a_dry_run_writes_nothing(sample: Any, store: str) -> None:
    done = sample.into(store, "--nan", "null", "--dry-run")
    assert done["imported"] == READ
    assert done["verified"] is None
    assert sample.into(store, "--nan", "null")["imported"] == READ
    assert sample.into(store, "--nan", "null", "--dry-run")["unchanged"] == READ


def test_validation_alone_writes_nothing(sample: Any, store: str) -> None:
    assert sample.run(store, "--validate-only").exit_code == 4  # there is nothing to compare with yet
    sample.into(store, "--nan", "null")
    assert sample.into(store, "--nan", "null", "--validate-only")["verified"]["same"] == READ
    sample.task("more")
    done = sample.into(store, "--nan", "null", "--validate-only", exit_code=3)
    assert done["verified"]["rows"] == [{"table": "tasks", "rowid": 1501, "fields": []}]
    assert sample.into(store, "--nan", "null")["imported"] == {**NOTHING, "tasks": 1}


async def test_what_it_is_afterwards(sample: Any, store: str) -> None:
    from hive_state_legacy.options import make_options
    from hive_state_legacy.running import Plan, run

    options = make_options(str(sample.path), {"timezone": "Europe/Berlin", "nan": "null"})
    await run(Plan(options=options), store, lambda report: None, lambda found: None)
    async with open_store(store) as hive:
        agent = await hive.agents.get("docs-agent-0002")
        assert agent is not None
        assert agent.capabilities == ("security", "数据", "testing", "python")
        assert (agent.status, agent.current_task, agent.context_usage) == ("idle", "task-001458", 0.5166)
        assert agent.updated_at == datetime(2026, 11, 22, 18, 55, 27, 720000, UTC)
        task = await hive.tasks.get("task-000000")
        assert task is not None
        assert (task.state, task.priority, task.queue) == (TaskState.COMPLETED, 1, "tasks")
        assert task.payload["confidence"] == 0.6137372629754311
        assert task.created_at == datetime(2026, 11, 22, 18, 55, 16, 75000, UTC)
        assert task.finished_at == datetime(2026, 11, 22, 18, 55, 16, 82000, UTC)
        counts = [
            await hive.tasks.count(states=[state]) for state in ("ready", "leased", "completed", "dead")
        ]
        assert counts == [389, 217 + 155, 650, 89]
        (image,) = await hive.replication().images([note_ref("task-000000")])
        assert isinstance(image, RecordImage)
        assert image.ref.collection == NOTES
        started = datetime(2026, 11, 22, 18, 55, 16, 77000, UTC)
        note = Note(agent_id="frontend-agent-0013", started_at=started, status="completed")
        assert decode_note(image.value or b"", "t") == note
        assert [name async for name in hive.checkpoints.names()] == ["before-deploy", "milestone", "nightly"]
        saved = [each async for each in hive.checkpoints.list("milestone")]
        assert [each.seq for each in saved] == [1, 2, 3, 4, 5, 6, 7]
        assert [each.data["i"] for each in saved][:3] == [0, 97, 291]
        latest = await hive.checkpoints.latest("nightly")
        assert latest is not None
        assert latest.at == datetime(2026, 11, 22, 18, 55, 27, 706000, UTC)
        snapshots = [each async for each in hive.checkpoints.snapshots()]
        assert len(snapshots) == 30
        assert snapshots[0].data["total_tasks"] == 1500
        assert snapshots[0].metadata == {"legacy_id": 1}


async def test_the_hive_goes_on(sample: Any, store: str) -> None:
    """Pending tasks are claimed, the most urgent and oldest first; what was begun comes back in the end."""
    from hive_state_legacy.options import make_options
    from hive_state_legacy.running import Plan, run

    options = make_options(str(sample.path), {"timezone": "UTC", "nan": "null"})
    await run(Plan(options=options), store, lambda report: None, lambda found: None)
    async with open_store(store) as hive:
        await hive.sweep()  # takes away the leases of the original, which have run out since
        claimed = await hive.tasks.claim("tasks", worker="w", limit=1000)
        assert len(claimed) == 389 + 217 + 155
        tasks = [await hive.tasks.get(lease.id) for lease in claimed]
        places = [(task.priority, task.created_at) for task in tasks if task is not None]
        assert places == sorted(places)
        await hive.tasks.complete(claimed[0])
    again = await run(Plan(options=options), store, lambda report: None, lambda found: None)
    assert again.report.newer["tasks"] == 389 + 217 + 155
    assert again.report.imported["tasks"] == 0
    assert again.clean


def test_what_people_read(sample: Any, store: str) -> None:
    done = sample.run(store, "--timezone", "UTC")
    assert done.exit_code == 3
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["read", "imported", "unchanged", "newer", "waived", "poison", "settled"]
    assert lines[2].split() == ["tasks", "1,500", "1,459", "0", "0", "0", "41", "0"]
    assert lines[5] == "poison: tasks:3 metadata: NaN is no JSON number (settled by --nan)"
    assert lines[25] == "poison: and 21 more (--json names them)"
    assert lines[26].startswith("verified: 1,545 rows are the same in sqlite:///")
    assert sample.run(store, "--dry-run", "--validate-only").exit_code == 2
