"""A hive at rest moves: sealed, copied, verified, handed over. Who was killed is resumed by the next call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from hive_state_core.errors import Conflict, InvalidArgument, NotPrimary, Sealed, Unsupported
from hive_state_core.features import Facility
from hive_state_core.migration import job as jobs
from hive_state_core.migration import switching
from hive_state_core.migration.copying import Pace, copy
from hive_state_core.migration.report import Report, TooDifferent
from hive_state_core.migration.rereading import reread
from hive_state_core.migration.verifying import verify
from hive_state_core.spi import KINDS, Control, ControlState, Kind, Replication, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hive_state_core.store import Store

Tell = Callable[[str, Kind, int], None]
"""Is told how far it is: phase (copy, verify, reread), kind, count so far."""

NEEDED: dict[Kind, Facility] = {
    "task": Facility.TASKS,
    "queue": Facility.TASKS,
    "event": Facility.STREAMS,
    "stream": Facility.STREAMS,
    "pending": Facility.STREAMS,
    "group": Facility.STREAMS,
}


class StaleCopy(Conflict):
    """The target is a standby with a copy of this very source, made under a seal that has ended. It may be
    dropped, and the copy begun anew."""


class Move:
    """From one open Store to another.

    names  of both, without passwords: what the control rows will say of one another
    """

    def __init__(self, source: Store, target: Store, names: tuple[str, str], tell: Tell) -> None:
        self._stores = source, target
        self.source: Replication = source.replication()
        self.target: Replication = target.replication()
        self.names: tuple[str, str] = names
        self.report: Report = Report()
        self._tell = tell

    async def run(self, *, batch: int = 5000, copy_only: bool = False) -> Report:
        """Everything; the report, whose `clean` says whether the hive has moved (or was copied).

        In the end the source is moved and the target open; with `copy_only` the source is open again and
        the target a standby. If they differ, the source is open again, and what was copied worth nothing.

        Raises Conflict (the target holds other data, a migration is under way), StoreMoved, Unsupported.
        """
        job, row = await self._begin()
        if (await self.source.control()).state is not ControlState.MOVED:
            await self._copy(row, batch)
            await self.compare()
            if copy_only or not self.report.clean:
                await switching.unseal(self.source)
                await self.source.note(jobs.FORGOTTEN)
                return self.report
        handing_over = asyncio.ensure_future(self._hand_over(job))
        try:
            await asyncio.shield(handing_over)
        finally:  # gone through with also if we are cancelled: the stores may be closed next
            await asyncio.wait({handing_over})
        return self.report

    async def compare(self) -> None:
        """Verify what is in the target, by the port and by reading it all. Only stores at rest are equal."""
        source, target = self._stores
        try:
            with self._timed("verify"):
                await verify(self.source, self.target, self.report, self._told("verify"))
            with self._timed("reread"):
                await reread(source._driver, target._driver, self.report, self._told("reread"))
        except TooDifferent:
            return

    async def cancel(self) -> bool:
        """Give up a migration that did not come to its end: the source is open again. Whether there was one.

        Raises Conflict once the hive has moved.
        """
        job = await jobs.read_job(self.source)
        row = await self.source.control()
        if job is None:
            return False
        if row.state is ControlState.MOVED:
            raise Conflict(f"the hive has moved to {row.peer!r} already", key=self.names[0])
        await switching.unseal(self.source)
        await self.source.note(jobs.FORGOTTEN)
        return True

    # --- how it begins

    async def _begin(self) -> tuple[jobs.Job, Control]:
        """The job that is to be done or gone on with, and the target's row; the source is sealed under it, or
        has moved."""
        source, target = await self.source.control(), await self.target.control()
        if source.store_id == target.store_id:
            raise InvalidArgument(f"{self.names[0]} and {self.names[1]} are the same store")
        job = await jobs.read_job(self.target)
        ours = job is not None and (job.source, job.target) == (source.store_id, target.store_id)
        if job is not None and ours and source.term == job.term and source.state is not ControlState.OPEN:
            return job, target  # killed in between: what was copied is still what is there
        switching.refuse_moved(source, self.names[0])
        await self._require_alone(source)
        await self._require_facilities()
        if ours and target.state is ControlState.STANDBY:
            await self._require_fresh()
        standby = await switching.make_standby(self.target, self.names[1])
        job = jobs.new_job(source.store_id, target.store_id, switching.next_term(source, target))
        await self.target.note({**jobs.FORGOTTEN, **jobs.noted(job)})
        await switching.seal(self.source, job, self.names[1])
        return job, standby

    async def _require_alone(self, source: Control) -> None:
        if source.state is ControlState.STANDBY:
            raise NotPrimary(f"{self.names[0]} is a standby of {source.peer!r}: nothing moves from there")
        if source.state is ControlState.SEALED:
            raise Sealed(
                f"{self.names[0]} is sealed by another migration, to {source.peer!r}; go on with that one, or"
                " give it up by `hive-state migrate cancel`"
            )

    async def _require_facilities(self) -> None:
        """Raises Unsupported for a kind of data that the target cannot hold."""
        target = self._stores[1]
        for kind, facility in NEEDED.items():
            if not target.features.has(facility) and await self.source.export(Span(kind=kind, limit=1)):
                raise Unsupported(
                    f"{self.names[1]} cannot hold what is in {self.names[0]}: it does not offer"
                    f" {facility.value}",
                    feature=facility.value,
                )

    async def _require_fresh(self) -> None:
        """Raises StaleCopy if the target holds a copy of what has been open since."""
        for kind in KINDS:
            if await self.target.export(Span(kind=kind, limit=1)):
                raise StaleCopy(
                    f"{self.names[1]} holds an older copy of {self.names[0]}, which was open since",
                    key=self.names[1],
                )

    # --- how it goes on

    async def _copy(self, standby: Control, batch: int) -> None:
        cursor = await jobs.read_cursor(self.target)
        self.report.before = sum(cursor.copied.values())
        with self._timed("copy"):
            copied = await copy(
                self.source, self.target, cursor, Pace(batch), self._told("copy"), expect=standby
            )
        for kind, count in copied.items():
            self.report.kinds[kind].copied = count

    async def _hand_over(self, job: jobs.Job) -> None:
        await switching.hand_over(self.source, self.target, job, self.names)
        await self.target.note(jobs.FORGOTTEN)
        await self.source.note(jobs.FORGOTTEN)

    def _told(self, phase: str) -> Callable[[Kind, int], None]:
        return lambda kind, count: self._tell(phase, kind, count)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self.report.seconds[phase] = perf_counter() - started
