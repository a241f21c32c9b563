"""What `--json` prints has the keys that its command declares, from which the reference is made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hive_state_core import open_store
from hive_state_core.cli import main
from hive_state_core.cli.frame import JsonOption, Keys

RUNS = """
agents list {a}
agents show {a} planner-1 --values
agents remove {a} planner-1 --yes
tasks list {a}
tasks count {a}
tasks show {a} t1 --values
tasks cancel {a} t1 --yes
tasks redrive {a} t1
tasks redrive-all {a} --yes
tasks pause {a} build
tasks resume {a} build
events streams {a}
events groups {a}
events read {a} audit --values
events lag {a} audit billing
events pending {a} audit billing
stats {a}
events redrive {a} audit billing --all
events discard {a} audit billing --all --yes
events seek {a} audit billing --to beginning --yes
events trim {a} audit --keep 1 --yes
events drop-group {a} audit billing --yes
events drop {a} audit --yes
health {a}
doctor {a}
backends
config show {a}
config init
config check
init {c}
import {b} --file {file}
migrate run --offline --from {a} --to {c} --dry-run
migrate run --offline --from {a} --to {c} --copy-only
migrate cancel --from {a} --to {c}
migrate plan --from {a} --to {d}
migrate start --from {a} --to {d}
migrate status --from {a} --to {d}
migrate verify --from {a} --to {d}
migrate pause --from {a} --to {d}
migrate resume --from {a} --to {d}
migrate switch --from {a} --to {d}
migrate rollback --from {a} --to {d}
migrate advance --from {a} --to {d}
migrate switch --from {a} --to {d}
migrate complete --from {a} --to {d} --yes
migrate run --from {a} --to {d}
conform memory:// --select records.put.round_trip
conform --list --select records.put.round_trip
bench memory:// --workload cas --agents 2 --seconds 0.05
demo --store memory:// --agents 2 --seconds 0.05
"""

ELSEWHERE = {"import-legacy", "release-legacy"}
"""Commands of other tests, which need a file of the original hive."""


RARE = {"raw_copy_rows_per_s", "migration"}
"""Keys that need a server."""


@pytest.mark.no_cover
def test_each_command_prints_the_keys_that_it_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stores = {name: f"sqlite:///{tmp_path}/{name}.db" for name in "abcd"}
    asyncio.run(_fill(stores["a"]))
    file = tmp_path / "a.jsonl"
    file.write_bytes(CliRunner().invoke(main, ["export", stores["a"]]).stdout_bytes)
    declared = {" ".join(path): keys for path, command in _commands(main) if (keys := _keys_of(command))}
    seen: dict[str, set[str]] = {}
    for line in RUNS.strip().splitlines():
        path = " ".join(word for word in line.split() if not word.startswith(("-", "{")))
        name = next(name for name in sorted(declared, key=len, reverse=True) if path.startswith(name))
        done = CliRunner().invoke(main, [*line.format(**stores, file=file).split(), "--json"])
        assert done.exit_code in (0, 3), (line, done.output)
        _compare(json.loads(done.stdout), declared[name], line)
        seen.setdefault(name, set()).update(json.loads(done.stdout))
    assert declared.keys() - seen.keys() == ELSEWHERE
    unseen = {name: declared[name].keys() - keys - RARE for name, keys in seen.items()}
    assert not [name for name, keys in unseen.items() if keys and not name.startswith("migrate")], unseen
    assert set().union(*unseen.values()) <= set().union(*seen.values())


async def _fill(url: str) -> None:
    async with open_store(url) as hive:
        await hive.agents.register("planner-1")
        await hive.tasks.enqueue("build", 1, id="t1")
        await hive.events.create_group("audit", "billing")
        await hive.events.publish_many("audit", [1, 2])
        await hive.events.claim("audit", "billing", consumer="c", limit=1)


def _commands(group: click.Group) -> Iterator[tuple[list[str], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from (([name, *path], inner) for path, inner in _commands(command))
        elif command is not None:
            yield [name], command


def _keys_of(command: click.Command) -> Keys:
    return next((param.keys for param in command.params if isinstance(param, JsonOption)), {})


def _compare(printed: Any, keys: Keys, where: str) -> None:
    """Nothing has a key that is not declared."""
    for each in printed if isinstance(printed, list) else [printed]:
        assert isinstance(each, Mapping)
        assert each.keys() <= keys.keys(), (where, each.keys() - keys.keys())
        for key, says in keys.items():
            if not isinstance(says, str) and key in each:
                _compare(each[key], says, f"{where}: {key}")
