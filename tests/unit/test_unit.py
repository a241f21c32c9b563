"""What bounds an atomic unit."""

from __future__ import annotations

import pytest

from hive_state_core import Store
from hive_state_core.errors import LimitExceeded
from hive_state_core.limits import BATCH_OPS

pytestmark = pytest.mark.prompt


async def test_a_unit_has_so_many_operations_at_most(hive: Store) -> None:
    many = {str(number): number for number in range(BATCH_OPS + 1)}
    with pytest.raises(LimitExceeded, match="the number of operations in one atomic unit") as caught:
        await hive.records.put_many("c", many)
    assert (caught.value.actual, caught.value.allowed) == (BATCH_OPS + 1, BATCH_OPS)
    assert await hive.records.count("c") == 0
    del many["0"]
    await hive.records.put_many("c", many)
    assert await hive.records.count("c") == BATCH_OPS


async def test_a_unit_has_so_many_bytes_at_most(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hive_state_core.unit.BATCH_BYTES", 1000)
    with pytest.raises(LimitExceeded, match="the size of an atomic unit in bytes") as caught:
        await hive.records.put_many("c", {str(number): b"x" * 400 for number in range(3)})
    assert caught.value.actual > caught.value.allowed == 1000
    assert await hive.records.count("c") == 0
