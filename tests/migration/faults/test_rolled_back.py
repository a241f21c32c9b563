"""Back from every phase while the hive works, by hand and after a death; then it moves once more, and both
stores hold the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from hive_state_core import open_store
from hive_state_core.config_file import read_config
from hive_state_core.migration.findings import change_findings

from .hive import ALL, Hive

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not ALL, reason="HIVE_STATE_FAULTS=all: minutes"),
]

START = ("start", "--from", "local", "--to", "prod")
SLOWLY = ("--chunk", "20", "--throttle", "0.1")


def moves_anew(hive: Hive) -> None:
    """Nothing was lost, and nothing that an earlier copy left is in the way."""
    hive.work()
    hive.succeed(*START)
    hive.succeed("switch")
    hive.work()
    hive.audit(hive.end())
    hive.require_equal()


def test_by_hand_from_prepared(tmp_path: Path) -> None:
    """To legacy."""
    with Hive(tmp_path) as hive:
        hive.begin("moving", "local")
        hive.succeed(*START)
        hive.succeed("rollback")
        assert hive.status()["phase"] == "prepared"
        hive.work()
        hive.succeed("cancel", "--from", "local", "--to", "prod")
        assert hive.status()["phase"] == "legacy"
        moves_anew(hive)


def test_by_hand_from_dual(tmp_path: Path) -> None:
    """While somebody copies, who is told."""
    with Hive(tmp_path) as hive:
        hive.begin("local", "local")
        hive.work()
        copying = hive.popen(*START, *SLOWLY)
        hive.until_phase("dual")
        hive.succeed("rollback")
        assert hive.status()["phase"] == "prepared"
        _, told = copying.communicate(timeout=60)
        assert copying.returncode == 1, told
        assert "hive-state:" in told
        assert "Traceback" not in told
        moves_anew(hive)


DEATHS = {
    "prepared": ("prepare: job noted", START),
    "dual": ("copy: page loaded", (*START, *SLOWLY)),
    "copied": ("pump: images read", START),
    "verified": ("pump: loaded", ("verify",)),
    "sealed": ("switch: sealed", ("switch",)),
    "drained": ("switch: synced", ("switch",)),
    "moved": ("switch: moved", ("switch",)),
    "reverse": ("switch: opened", ("switch",)),
}
"""Where whoever moves the hive dies, and at what."""

PHASES = {
    "sealed": ("switch", "verified"),
    "drained": ("switch", "verified"),
    "moved": ("switch", "reverse"),
}
"""What is seen then, where the processes of the hive do something about it; else it is the name."""


@pytest.mark.parametrize("phase", DEATHS)
def test_after_a_death_in(tmp_path: Path, phase: str) -> None:
    name, words = DEATHS[phase]
    with Hive(tmp_path) as hive:
        hive.begin("local", "local")
        hive.work()
        if words[0] != "start":
            hive.succeed(*START)
        hive.migrate_until(name, *words)
        assert hive.status()["phase"] in PHASES.get(phase, (phase,))
        hive.succeed("rollback")
        if hive.status()["phase"] != "prepared":
            assert phase in ("moved", "reverse")
            hive.until_phase("copied")
            hive.work()
            hive.succeed("rollback")
        assert hive.status()["phase"] == "prepared"
        moves_anew(hive)


def test_rolled_back_by_hand_and_by_itself(tmp_path: Path) -> None:
    """From every phase in which the hive works, while it does."""
    with Hive(tmp_path) as hive:
        hive.begin("moving", "local")
        hive.succeed(*START)
        hive.succeed("rollback")  # from verified
        assert hive.status()["phase"] == "prepared"
        hive.succeed("advance")
        hive.succeed("switch")
        hive.work()
        hive.succeed("rollback")  # from reverse
        assert hive.status()["phase"] == "copied"
        hive.succeed("rollback")
        assert hive.status()["phase"] == "prepared"
        hive.succeed("advance")
        hive.succeed("switch")
        hive.work()
        asyncio.run(_find_something_wrong(hive))
        hive.until_phase("copied")
        assert hive.status()["triggers"]["fired"][-1]["trigger"] == "validation"
        hive.work()
        hive.audit(hive.end())
        hive.require_equal()


async def _find_something_wrong(hive: Hive) -> None:
    config = read_config(hive.folder / "hive-state.toml")
    async with open_store("local", config=config, janitor=False, follow=False) as store:
        await change_findings(
            store.replication(), lambda old: replace(old, wrong={"record c / k": "corrupt"})
        )
