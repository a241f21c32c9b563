"""Some of what is read is read in the other store too, in the background: as soon as that has everything, and
on and on after a switch."""

from __future__ import annotations

import random
from collections.abc import Sequence

from msgspec.structs import replace

from hive_state_core.migration.checking import Check, Checked
from hive_state_core.migration.findings import MOST, Findings, change_findings
from hive_state_core.migration.live import Live
from hive_state_core.migration.working import silent
from hive_state_core.model import EntityRef, ReadRef

WAITING = 500
"""So many wait to be read there; what is read beyond that is not."""


class Shadow:
    """Of one store. `share` of the reads, from 0 to 1."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._waiting: set[EntityRef] = set()

    def saw(self, refs: Sequence[ReadRef]) -> None:
        """These were read here."""
        if self._share and len(self._waiting) < WAITING and random.random() < self._share:
            self._waiting.update(refs)

    async def look(self, live: Live) -> Checked | None:
        """Compare those that wait, and keep what was found; what was lost is sent once more. None: there were
        none."""
        refs, self._waiting = self._waiting, set()
        if not refs:
            return None
        seen = await live.look()
        checked = await Check(live, seen, silent).some(refs)

        def change(old: Findings) -> Findings:
            wrong = dict(list({**old.wrong, **checked.wrong}.items())[:MOST])
            return replace(
                old,
                wrong=wrong,
                repaired=old.repaired + checked.repaired,
                shadowed=old.shadowed + len(refs),
                shadow_wrong=old.shadow_wrong + len(checked.wrong),
            )

        await change_findings(live.source, change)
        return checked
