"""The phases of a live migration, and what is remembered of it.

Where the hive lives is told by the control rows alone, see `phase_of`. The job, a note in both stores of
which that in the store to be left counts, remembers what the rows cannot say: how far the other one is to be
trusted.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from hive_state_core.errors import Conflict
from hive_state_core.spi import Control, ControlState, Notes, Replication

LIVE = "migration/live"


class Phase(Enum):
    LEGACY = "legacy"  #: there is no migration
    PREPARED = "prepared"  #: the stores know each other
    DUAL = "dual"  #: what changes is marked, and what was there before is being copied
    COPIED = "copied"  #: what changes is sent on
    VERIFIED = "verified"  #: everything was compared
    SWITCH = "switch"  #: nobody writes for a moment
    REVERSE = "reverse"  #: the hive lives in the target, and the source is kept current
    COMPLETED = "completed"  #: there is no way back any more


WAY: tuple[Phase, ...] = tuple(Phase)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """source, target  ids of the stores
    names     of both, as their control rows have them
    phase     while the hive lives in the source; COMPLETED at the end
    start     what has a lower version is copied, the rest is marked
    chunk     rows of a transaction of the copy
    throttle  seconds of rest after each
    paused_by  the trigger that did; None: somebody by hand
    budget    seconds for which writes may wait for a switch, before it is given up
    triggers  what `triggers` do: act, watch (they are told, and what they would have done), off
    """

    id: str
    source: str
    target: str
    names: tuple[str, str]
    phase: Phase = Phase.PREPARED
    start: int = 0
    paused: bool = False
    paused_by: str | None = None
    chunk: int = 2000
    throttle: float = 0.0
    budget: float = 2.0
    triggers: Literal["act", "watch", "off"] = "act"


def new_job(source: Control, target: Control, names: tuple[str, str]) -> Job:
    return Job(id=uuid4().hex, source=source.store_id, target=target.store_id, names=names)


def same_sides(one: Job, other: Job) -> bool:
    return (one.source, one.target, one.names) == (other.source, other.target, other.names)


async def read_job(port: Replication) -> Job | None:
    """None: no live migration is under way, nor was there one."""
    data = (await port.notes()).get(LIVE)
    return None if data is None else msgspec.json.decode(data, type=Job)


def noted(job: Job) -> Notes:
    return {LIVE: msgspec.json.encode(job)}


async def change_job(port: Replication, job: Job, **changes: object) -> Job:
    """The job, changed in the store to be left. Raises Conflict if somebody else changed it meanwhile."""
    changed = replace(job, **changes)
    if not await port.note(noted(changed), expect=noted(job)):
        raise Conflict(
            "somebody else changed the migration meanwhile: look at its status", key="the migration"
        )
    return changed


class Situation(NamedTuple):
    """How things stood at one moment; `job` None: there is no migration."""

    job: Job | None
    source: Control
    target: Control

    @property
    def phase(self) -> Phase:
        return phase_of(self.job, self.source, self.target)

    @property
    def back(self) -> bool:
        """Whether the hive lives in the target, or is on its way back from there."""
        return self.source.state is ControlState.MOVED and self.target.state is not ControlState.STANDBY


def phase_of(job: Job | None, source: Control, target: Control) -> Phase:
    """What the control rows say, and the job where they are silent."""
    if job is None or job.phase is Phase.COMPLETED:
        return Phase.COMPLETED if job else Phase.LEGACY
    if source.state is ControlState.OPEN:
        return job.phase
    if source.state is ControlState.MOVED and target.state is ControlState.OPEN:
        return Phase.REVERSE
    return Phase.SWITCH
