"""The processes of the hive of `demo --migrate`, as seen from the one that moves it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import msgspec
from msgspec.structs import replace

from hive_state_conformance.demo_hive import Share, Told
from hive_state_conformance.demo_process import EVERY, Figures, Orders
from hive_state_core.errors import Internal

PROGRAM = ("-m", "hive_state_conformance.demo_process")
LINE = 2**30
"""Bytes that a line may have: at the end one tells of all tasks of a process."""

NOTHING = Figures(operations=0, enqueued=0, finished=0, errors=0, longest=0.0, oldest=0.0)


class Member:
    """One process. `errors` is the file that it writes its stderr to."""

    def __init__(self, process: Process, errors: Path) -> None:
        self._process = process
        self._errors = errors
        self.figures = NOTHING
        self.longest = 0.0

    def tell(self, line: bytes) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line + b"\n")

    async def hear(self) -> Told | None:
        """The next line, kept if it is figures. Raises Internal if the process has died."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            await self._process.wait()
            said = self._errors.read_text(errors="replace").strip().splitlines()[-1:]
            raise Internal(f"a process of the hive died: {(said or ['it said nothing'])[0]}")
        found = msgspec.json.decode(line, type=Figures | Told)
        if isinstance(found, Told):
            return found
        self.figures = found
        self.longest = max(self.longest, found.longest)
        return None

    async def end(self) -> None:
        """It is gone when this returns."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Crew:
    """All of them. Used from `processes`."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._told = Told()
        self._hearing: list[asyncio.Task[Told]] = []

    @property
    def figures(self) -> Figures:
        """Of all together; `longest` since `forget`."""
        found = [member.figures for member in self._members]
        return Figures(
            operations=sum(each.operations for each in found),
            enqueued=sum(each.enqueued for each in found),
            finished=sum(each.finished for each in found),
            errors=sum(each.errors for each in found),
            longest=max(member.longest for member in self._members),
            oldest=min(each.oldest for each in found),
        )

    def forget(self) -> None:
        """Begin anew to look for the longest call."""
        for member in self._members:
            member.longest = 0.0

    async def past(self, instant: float) -> None:
        """Wait until every call that began before it has come back."""
        while self.figures.oldest <= instant:
            await self.rest(EVERY)

    async def rest(self, seconds: float) -> None:
        """Let them work. Raises Internal as soon as one has died."""
        done, _ = await asyncio.wait(self._hearing, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def begin(self) -> None:
        """Let their agents work, once all are ready."""
        for member in self._members:
            await member.hear()
        for member in self._members:
            member.tell(b"begin")
            self._hearing.append(asyncio.create_task(_to_the_end(member)))

    async def end(self) -> Told:
        """Let the agents stop; what they were told."""
        for member in self._members:
            member.tell(b"end")
        for told in await asyncio.gather(*self._hearing):
            self._told.add(told)
        return self._told

    async def close(self) -> None:
        """No process is left when this returns."""
        for task in self._hearing:
            task.cancel()
        if self._hearing:
            await asyncio.wait(self._hearing)
        for member in self._members:
            await member.end()


async def _to_the_end(member: Member) -> Told:
    while (told := await member.hear()) is None:
        pass
    return told


@asynccontextmanager
async def processes(orders: Orders, count: int, folder: Path) -> AsyncIterator[Crew]:
    """So many, which share the work of the orders. They are gone afterwards, however that ends."""
    members: list[Member] = []
    crew = Crew(members)
    try:
        for number in range(count):
            members.append(await _start(folder / f"{number}.err"))
            share = Share(number, count)
            members[-1].tell(msgspec.json.encode(replace(orders, share=share)))
        yield crew
    finally:
        await asyncio.shield(crew.close())


async def _start(errors: Path) -> Member:
    """In a session of its own: Ctrl-C is for this process, which ends the others."""
    with errors.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *PROGRAM, stdin=PIPE, stdout=PIPE, stderr=file, start_new_session=True, limit=LINE
        )
    return Member(process, errors)


def now() -> float:
    """By the clock of `Figures.oldest`."""
    return perf_counter()
