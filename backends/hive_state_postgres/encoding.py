"""The batches of a trip as arguments of `hive.commit_flat`, or of `hive.commit` if not all are flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hive_state_core.spi import Batch
from hive_state_postgres.flat import Flat, is_quick, shape_of
from hive_state_postgres.general import General


class Encoded:
    """`shape`: that of each batch (see `shape_of`), g on the general path; `flat`: there is no g.
    `may_hurry`: a flat trip that its writes can decide."""

    __slots__ = ("_general", "_quick", "flat", "may_hurry", "shape", "task_ids")

    def __init__(self, batches: Sequence[Batch]) -> None:
        shapes = [shape_of(batch) for batch in batches]
        self.flat = "g" not in shapes
        quick, general = Flat(), General()
        ordinal = 0  # of the operation within the trip: the order of its task
        for place, batch in enumerate(batches):
            if self.flat or (shapes[place] != "g" and is_quick(batch)):
                quick.add(place, ordinal, batch)
            else:
                shapes[place] = "g"
                general.add(place, ordinal, batch)
            ordinal += len(batch.ops)
        self.shape = "".join(shapes)
        self.task_ids = quick.task_ids
        self.may_hurry = self.flat and quick.may_hurry
        self._quick, self._general = quick, general

    def arguments(self, careful: bool) -> tuple[Any, ...]:
        """Those from `p_put_places` on. `careful`: of a flat trip, see `Flat.arguments`."""
        quick, general = self._quick, self._general
        if self.flat:
            return quick.arguments(careful)
        general.lock_records(*quick.record_locks)
        return (*quick.quick_arguments(), *general.arguments())
