"""A hive moves while it works: the steps from one phase to the next, and back. Start reading here.

Each step is a compare-and-set, and looks first whether it was done already: whoever was killed anywhere is
followed by whoever comes next. What takes its time, copying and sending on, is `working`.
"""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from hive_state_core.errors import Conflict, InvalidArgument, NotEmpty, NotPrimary, Sealed
from hive_state_core.migration import job as offline
from hive_state_core.migration.failpoints import reached
from hive_state_core.migration.findings import FINDINGS
from hive_state_core.migration.handover import SYNCED
from hive_state_core.migration.phases import (
    LIVE,
    Job,
    Phase,
    Situation,
    change_job,
    new_job,
    noted,
    read_job,
    same_sides,
)
from hive_state_core.migration.presence import forget_gone
from hive_state_core.migration.progress import PROGRESS
from hive_state_core.migration.running import StaleCopy
from hive_state_core.migration.sealing import unseal
from hive_state_core.migration.switching import make_standby, refuse_moved
from hive_state_core.migration.triggers import TRIGGERED
from hive_state_core.spi import KINDS, PEER, Control, ControlState, Driver, Notes, Replication, Span

FORGOTTEN: Notes = {
    **dict.fromkeys((LIVE, SYNCED, FINDINGS, TRIGGERED, PROGRESS)),
    **offline.FORGOTTEN,
}


class Live:
    """Both stores of a migration, opened and not followed.

    names  of both: under which they are configured, or their URLs without passwords
    """

    def __init__(self, source: Driver, target: Driver, names: tuple[str, str]) -> None:
        self.drivers: tuple[Driver, Driver] = source, target
        self.source: Replication = cast(Replication, source)
        self.target: Replication = cast(Replication, target)
        self.names: tuple[str, str] = names

    async def look(self) -> Situation:
        """How things stand. Raises Conflict if these stores belong to different migrations."""
        job = await read_job(self.source)
        source, target = await self.source.control(), await self.target.control()
        if job is not None and (job.source, job.target) != (source.store_id, target.store_id):
            raise self._other_stores(job, source)
        return Situation(job, source, target)

    def _other_stores(self, job: Job, source: Control) -> Conflict:
        if job.names != self.names:
            there = "the same command goes on with that, `hive-state migrate cancel` gives it up"
            return Conflict(
                f"{job.names[0]} moves to {job.names[1]} already: with --from {job.names[0]} --to"
                f" {job.names[1]} {there}",
                key=self.names[0],
            )
        wrong = self.names[1] if job.source == source.store_id else self.names[0]
        return Conflict(
            f"{wrong} is not the store with which this migration was begun: it was made anew, or put back;"
            " bring that one back, or give the migration up by `hive-state migrate cancel`",
            key=wrong,
        )

    async def require_job(self, *phases: Phase) -> tuple[Job, Situation]:
        """Raises Conflict unless a migration is under way, in one of these phases if some are given."""
        seen = await self.look()
        if seen.job is None:
            raise Conflict(
                "no migration is under way: begin one by `hive-state migrate start`", key=self.names[0]
            )
        if phases and seen.phase not in phases:
            wanted = " or ".join(phase.value for phase in phases)
            raise Conflict(
                f"the migration is in phase {seen.phase.value}, not {wanted}: `hive-state migrate status`"
                " says what comes next",
                key="the migration",
            )
        return seen.job, seen

    # --- forward

    async def prepare(self, **knobs: object) -> Job:
        """legacy -> prepared: the target is an empty standby, and each row names the other store.

        Of two who begin at one instant one wins, and who comes later joins it. Raises Conflict (the target
        holds other data, another migration is under way, or began just now), StaleCopy (it holds what was
        copied before; drop it), StoreMoved, NotPrimary.
        """
        before, row = await read_job(self.source), await self.source.control()
        if before is not None and before.target == row.store_id:
            raise self._other_stores(before, row)
        if before is not None and before.phase not in (Phase.PREPARED, Phase.COMPLETED):
            return (await self.require_job())[0]
        if before is None or before.phase is Phase.COMPLETED:
            await self._require_free(row)
        try:
            standby = await self._standby(row, before)
        except (NotEmpty, StaleCopy):
            raise
        except Conflict as error:  # the row of the target is another one by now
            raise self._overtaken() from error
        await reached("prepare: standby made")
        job = new_job(row, standby, self.names)
        if before is not None and before.phase is Phase.PREPARED and same_sides(before, job):
            job = before  # who began it may be at work: nothing is taken from there
        job = replace(job, **knobs)
        there = noted(before) if before is not None else {LIVE: None}
        if not await self.source.note({**FORGOTTEN, **noted(job)}, expect=there):
            raise self._overtaken()
        await self.target.note({**FORGOTTEN, **noted(job)})
        await reached("prepare: job noted")
        if row.peer != self.names[1]:
            await self.source.control(row.epoch, replace(row, peer=self.names[1]))
        return job

    def _overtaken(self) -> Conflict:
        return Conflict(
            f"somebody else began to move {self.names[0]} at the same instant: `hive-state migrate status`"
            " says where that is, and the same command goes on with it",
            key="the migration",
        )

    async def _standby(self, source: Control, before: Job | None) -> Control:
        """The row of the target, which is empty."""
        if source.store_id == (await self.target.control()).store_id:
            raise InvalidArgument(f"{self.names[0]} and {self.names[1]} are the same store")
        row = await make_standby(self.target, self.names[1])
        for kind in KINDS:
            if await self.target.export(Span(kind=kind, limit=1)):
                if await read_job(self.source) != before:  # somebody copies already
                    raise self._overtaken()
                if row.peer in (None, self.names[0]):
                    raise StaleCopy(
                        f"{self.names[1]} holds an older copy of {self.names[0]}", key=self.names[1]
                    )
                raise NotEmpty(f"{self.names[1]} is a standby of {row.peer!r}", key=self.names[1])
        if row.peer == self.names[0]:
            return row
        return await self.target.control(row.epoch, replace(row, peer=self.names[0]))

    async def capture(self) -> Job:
        """prepared -> dual: from now on what changes is marked. Of two at once one does it."""
        while True:
            job, seen = await self.require_job()
            if seen.phase is not Phase.PREPARED:
                return job
            try:
                row = await self._marking(seen.source)
                await reached("dual: capture on")
                return await change_job(self.source, job, phase=Phase.DUAL, start=row.version + 1)
            except Conflict:  # somebody else changed the row, or the job, and it is looked at anew
                continue

    async def _marking(self, row: Control) -> Control:
        """The row, with which what changes is marked. If that is so already, somebody died here, or is at
        it: the marks are kept, and what they are of is copied too."""
        if PEER in row.sinks:
            return row
        return await self.source.control(
            row.epoch, replace(row, peer=self.names[1], sinks=row.sinks | {PEER})
        )

    async def reach(self, phase: Phase) -> Job:
        """The job in this phase, between dual and verified: what that takes was done, or is not needed any
        more."""
        job, _ = await self.require_job(Phase.DUAL, Phase.COPIED, Phase.VERIFIED)
        return job if job.phase is phase else await change_job(self.source, job, phase=phase)

    async def distrust(self) -> Job:
        """What was verified does not count any more: before the hive comes back, to move again some day."""
        job, _ = await self.require_job()
        return await change_job(self.source, job, phase=Phase.COPIED)

    async def complete(self) -> Job:
        """reverse -> completed: the source is not kept current any more. There is no way back."""
        job, seen = await self.require_job(Phase.REVERSE, Phase.COMPLETED)
        job = await change_job(self.source, job, phase=Phase.COMPLETED)
        await reached("complete: source forgotten")
        row = seen.target
        if row.peer is not None or PEER in row.sinks:
            await self.target.control(row.epoch, replace(row, peer=None, sinks=row.sinks - {PEER}))
        await self.target.note(FORGOTTEN)
        await self._forget_gone()
        return job

    async def _require_free(self, row: Control) -> None:
        refuse_moved(row, self.names[0])
        if row.state is ControlState.STANDBY:
            raise NotPrimary(f"{self.names[0]} is a standby of {row.peer!r}: nothing moves from there")
        if row.state is ControlState.SEALED or await offline.read_job(self.source) is not None:
            raise Sealed(
                f"{self.names[0]} is being moved at rest; go on with `hive-state migrate run --offline`, or"
                " give that up by `hive-state migrate cancel`"
            )
        if PEER in row.sinks:
            raise Conflict(
                f"what changes in {self.names[0]} is marked for {row.peer!r} already", key=self.names[0]
            )

    # --- back

    async def release(self) -> None:
        """dual, copied, verified -> prepared: nothing is marked any more. What the target holds is
        worth nothing then, and has to be dropped: see `opening.begin_anew` and `opening.cancel`.

        Raises Conflict if the hive lives in the target, for good or not.
        """
        job, row = await read_job(self.source), await self.source.control()
        if job is None:
            return
        if job.phase is Phase.COMPLETED:
            raise Conflict(
                f"the migration was completed, and {self.names[0]} was not kept current since: there is no"
                f" way back. `hive-state migrate start --from {self.names[1]}` moves the hive once more, into"
                " an empty store",
                key="the migration",
            )
        if row.state is ControlState.SEALED:
            row = await unseal(self.source, row)
        if row.state is not ControlState.OPEN:
            raise Conflict(
                f"the hive lives in {self.names[1]}: bring it back first, by `hive-state migrate rollback`",
                key="the migration",
            )
        await change_job(self.source, job, phase=Phase.PREPARED, start=0)
        await self.source.control(row.epoch, replace(row, sinks=row.sinks - {PEER}))

    async def forget(self) -> None:
        """prepared -> legacy, after `release` and once the target was dropped."""
        row = await self.source.control()
        await self.source.control(row.epoch, replace(row, peer=None))
        await self.source.note(FORGOTTEN)
        await self._forget_gone()

    async def _forget_gone(self) -> None:
        """Processes that were killed meanwhile took no leave."""
        for driver, port in zip(self.drivers, (self.source, self.target), strict=True):
            await forget_gone(driver, port)

    # --- knobs

    async def change(self, **knobs: object) -> Job:
        """Pause it, or another chunk, throttle or budget."""
        job, _ = await self.require_job()
        return await change_job(self.source, job, **knobs)

    async def pause(self, job: Job, trigger: str) -> Job:
        """By a trigger of this name. Also while the target cannot be looked at."""
        return await change_job(self.source, job, paused=True, paused_by=trigger)
