"""What the tests of tasks and of their leases share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hive_state_core import Store
from hive_state_core.errors import HiveStateError, Unavailable
from hive_state_core.leases import Lease
from hive_state_core.spi import Batch
from hive_state_core.task_model import Task


async def leased(hive: Store, payload: Any = None, *, lease: float = 30, **options: Any) -> Lease:
    await hive.tasks.enqueue("q", payload, **options)
    (held,) = await hive.tasks.claim("q", worker="w", lease=lease)
    return held


async def task_of(hive: Store, id: str) -> Task:
    task = await hive.tasks.get(id)
    assert task is not None
    return task


class Fault:
    """Raises instead of committing, for batches whose first operation is of one of these kinds."""

    def __init__(
        self, hive: Store, kinds: type | tuple[type, ...], error: Callable[[], HiveStateError], times: int
    ) -> None:
        self.left = times
        self.raised = 0
        trips = hive._trips
        commit = trips.commit

        async def faulty(batch: Batch, size: int = 0, timeout: float | None = None) -> Any:
            if self.left and isinstance(batch.ops[0], kinds):
                self.left -= 1
                self.raised += 1
                raise error()
            return await commit(batch, size, timeout)

        trips.commit = faulty  # type: ignore[method-assign]


def busy() -> HiveStateError:
    return Unavailable("busy")
