"""How much a worker that sends on leaves to those who work."""

from __future__ import annotations

from pathlib import Path

from hive_state_core.migration.working import IDLE, PAGE, REST, Worker

from .sides import Sides


async def test_rests_between_rounds(tmp_path: Path) -> None:
    """Long where all was sent; as long as the round took where more is left, and ever less while it is."""
    sides = Sides.files(tmp_path)
    async with sides.live() as live:
        worker = Worker(live)
        assert worker._rest(0, 0.5) == IDLE
        assert worker._rest(PAGE - 1, 0.5) == REST
        assert [worker._rest(PAGE, 0.6) for _ in range(3)] == [0.6, 0.3, 0.6 / 3]
        assert worker._rest(1, 0.5) == REST
        assert worker._rest(PAGE, 0.6) == 0.6
