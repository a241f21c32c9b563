"""What is read is read in the other store too, and each way in which that can be otherwise has its word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from hive_state_core import open_store
from hive_state_core.migration.crossing import cross
from hive_state_core.migration.findings import read_findings
from hive_state_core.migration.phases import Phase
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import Replication
from hive_state_dualwrite.shadow import Shadow

from .sides import Sides

KEYS = ("ok", "lost", "corrupt", "ahead", "lag")


@pytest.fixture
async def sides(tmp_path: Path) -> Sides:
    sides = Sides.files(tmp_path)
    async with open_store(sides.source, janitor=False) as hive:
        await hive.records.put_many("c", dict.fromkeys(KEYS, 1))
    await sides.reach(Phase.VERIFIED)
    return sides


async def image(port: Replication, key: str) -> RecordImage:
    (found,) = await port.images([RecordRef("c", key)])
    assert isinstance(found, RecordImage)
    return found


async def test_each_is_classified_and_the_soft_ones_are_mended(sides: Sides) -> None:
    async with sides.open("local") as hive, sides.live() as live:
        port = live.source
        for key in ("lost", "lag"):
            await hive.records.put("c", key, 2)
        lost = [mark for mark in await port.marks("peer", 10) if mark.ref == RecordRef("c", "lost")]
        assert await port.clear("peer", lost) == 1  # as a pump would that has not sent it
        ahead = await image(live.target, "ahead")
        await live.target.load([replace(ahead, version=ahead.version + 1000, value=b"2")])
        shadow = Shadow(1)
        shadow.saw([RecordRef("c", key) for key in (*KEYS, "never was")])
        checked = await shadow.look(live)
        assert checked is not None
        assert checked.wrong == {"record c / ahead": "ahead"}
        assert checked.repaired == 1
        assert (await image(live.target, "lost")).value == b"2"
        assert (await image(live.target, "lag")).value == b"2"
        findings = await read_findings(port)
        assert (findings.shadowed, findings.shadow_wrong, findings.clean) == (6, 1, False)
        assert await shadow.look(live) is None


async def test_it_goes_on_after_the_switch(sides: Sides) -> None:
    async with sides.open("local") as hive, sides.live() as live:
        await cross(live)
        await hive.records.put("c", "ok", 2)
        shadow = Shadow(1)
        shadow.saw([RecordRef("c", "ok")])
        checked = await shadow.look(live)
        assert checked is not None
        assert checked.clean
        assert (await image(live.source, "ok")).value == b"2"


def test_only_a_share_is_looked_at() -> None:
    shadow = Shadow(0)
    shadow.saw([RecordRef("c", "k")])
    assert not shadow._waiting
    shadow = Shadow(0.1)
    for n in range(1000):
        shadow.saw([RecordRef("c", f"{n}")])
    assert 10 < len(shadow._waiting) < 400


async def test_a_dual_write_store_does_it_by_itself(tmp_path: Path) -> None:
    urls = (f"sqlite:///{tmp_path}/{name}.db?synchronous=NORMAL" for name in ("local", "prod"))
    sides = Sides.of(*urls, shadow="100")
    await sides.reach(Phase.VERIFIED)
    async with sides.open("moving") as hive, sides.live() as live:
        await hive.records.put("c", "k", 1)
        for _ in range(400):
            assert await hive.records.get("c", "k") is not None
            if (findings := await read_findings(live.source)).shadowed:
                break
            await asyncio.sleep(0.02)
        assert (findings.shadowed, findings.shadow_wrong) == (1, 0)
