"""A store is sealed for a switch, and opened again if that takes too long, by whoever sees it."""

from __future__ import annotations

import logging
from time import monotonic

from msgspec.structs import replace

from hive_state_core.errors import Conflict
from hive_state_core.migration.phases import read_job
from hive_state_core.spi import Control, ControlState, Replication

PATIENCE = 2.0
"""How many times the budget of a switch is waited before others than who seals it give it up."""

log: logging.Logger = logging.getLogger("hive_state")


async def unseal(port: Replication, sealed: Control) -> Control:
    """The hive goes on where it was. Raises Conflict if the row is another one by now."""
    opened = replace(sealed, state=ControlState.OPEN, term=sealed.term + 1)
    return await port.control(sealed.epoch, opened)


class Impatience:
    """Of one process: since when it has seen which seal."""

    def __init__(self) -> None:
        self._epoch = -1
        self._since = 0.0

    async def spend(self, port: Replication, row: Control) -> None:
        """Give up a live switch that somebody began and did not end. A hive that is moved at rest stays
        sealed."""
        if row.state is not ControlState.SEALED:
            return
        if row.epoch != self._epoch:
            self._epoch, self._since = row.epoch, monotonic()
        job = await read_job(port)
        if job is None or monotonic() - self._since < PATIENCE * job.budget:
            return
        try:
            await unseal(port, row)
            log.warning("a switch did not come to its end within %.1f s: the store is open again", job.budget)
        except Conflict:  # it came to its end, or somebody else was faster
            return
