"""A hive moves to PostgreSQL on a disk that fills up: `full_disk.py FOLDER`, in a mount namespace of its own.

It works on, what changes waits, and is sent once there is room again.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hive_state_core.embedded import postgres_server
from hive_state_core.errors import StoreFull
from hive_state_core.migration.phases import Phase
from hive_state_core.migration.working import Worker
from hive_state_core.spi import PEER
from tests.migration.sides import Sides

DISK = "600m"
"""For the programs of the server too, which root has to copy."""

LARGE = "x" * 100_000
RECORDS = 30


@contextmanager
def small_disk() -> Iterator[Path]:
    """Where temporary files go; seen by this process alone, and by those that it starts."""
    with tempfile.TemporaryDirectory() as disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", disk], check=True)
        tempfile.tempdir = disk
        try:
            yield Path(disk)
        finally:
            subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> Path:
    """With one file, which takes all that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        left = os.statvfs(disk)
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize)
    return ballast


async def main(folder: Path) -> None:
    with small_disk() as disk:
        async with postgres_server() as server:
            sides = Sides.of(f"sqlite:///{folder}/one.db", server.url)
            await sides.reach(Phase.COPIED)
            await work_on(sides, fill(disk))
            ours, theirs = await sides.exports()
            assert ours == theirs


async def work_on(sides: Sides, ballast: Path) -> None:
    async with sides.open("local") as hive, sides.live() as live:
        worker = Worker(live)
        for n in range(RECORDS):
            await hive.records.put("c", f"{n}", LARGE)
        try:
            await worker.turn()
        except StoreFull:
            pass
        else:
            raise AssertionError("there was room")
        await hive.records.put("c", "more", LARGE)
        assert await live.source.marks(PEER, 1)
        ballast.unlink()
        async with asyncio.timeout(60), worker.beside():
            while await live.source.marks(PEER, 1):
                await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
