"""Two configured stores, and a hive on its way from one to the other."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hive_state_core import Store, open_store
from hive_state_core.choosing import Choice, choose
from hive_state_core.config import Config
from hive_state_core.migration import opening
from hive_state_core.migration.judging import verify
from hive_state_core.migration.lines import export_lines
from hive_state_core.migration.phases import Phase
from hive_state_core.migration.working import Worker, silent


class Sides(NamedTuple):
    """`local` and `prod`, and `moving`, a dual-write store of both."""

    config: Config

    @classmethod
    def of(cls, *urls: str, **options: str) -> Sides:
        tables = {name: {"url": url} for name, url in zip(("local", "prod"), urls, strict=True)}
        pair = {"backend": "dual-write", "primary": "local", "secondary": "prod", **options}
        return cls(Config({"use": "moving", "stores": {**tables, "moving": pair}}))

    @classmethod
    def files(cls, folder: Path) -> Sides:
        return cls.of(*(f"sqlite:///{folder}/{name}.db?synchronous=NORMAL" for name in ("local", "prod")))

    @property
    def source(self) -> Choice:
        return choose("local", self.config)

    @property
    def target(self) -> Choice:
        return choose("prod", self.config)

    def open(self, name: str) -> Store:
        """As a process of the hive has it."""
        return open_store(choose(name, self.config), janitor=False)

    def live(self):  # type: ignore[no-untyped-def]
        return opening.live(self.source, self.target)

    async def reach(self, phase: Phase) -> None:
        """From the beginning, or from where it is, up to this phase."""
        await opening.prepare(self.source, self.target)
        if phase is Phase.PREPARED:
            return
        async with self.live() as live:
            await live.capture()
            if phase is Phase.DUAL:
                return
            worker = Worker(live)
            await worker.until(lambda seen: seen.phase is not Phase.DUAL)
            await worker.release()
            if phase is Phase.VERIFIED:
                assert (await verify(live, silent)).clean

    async def exports(self) -> tuple[bytes, bytes]:
        return await _exported(self.source), await _exported(self.target)

    async def drained(self) -> None:
        """Let a worker send all that is marked."""
        async with self.live() as live:
            seen = await live.look()
            port = live.target if seen.back else live.source
            worker = Worker(live)
            while await port.marks("peer", 1):
                await worker.turn()
            await worker.release()


async def _exported(choice: Choice) -> bytes:
    async with open_store(choice, janitor=False, follow=False) as hive:
        return b"".join([line async for line in export_lines(hive.replication())])
