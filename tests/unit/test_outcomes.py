"""Outcomes as portable bytes."""

from __future__ import annotations

import msgspec
import pytest

from hive_state_core.errors import CorruptData
from hive_state_core.model import TaskState
from hive_state_core.outcomes import dump, load
from hive_state_core.spi import Committed, Enqueued, Extended, OpResult, Trimmed

RESULTS: tuple[OpResult, ...] = (
    None,
    True,
    False,
    1,
    0,
    2**53 - 1,
    *TaskState,
    Enqueued("tâche", created=False),
    Extended(12, cancel_requested=True),
    Trimmed(removed=3, dropped=1, first=4),
)


@pytest.mark.parametrize("result", RESULTS, ids=repr)
def test_a_result_comes_back_as_it_was(result: OpResult) -> None:
    loaded = load(dump(Committed(7, 8, (result,))))
    assert loaded == Committed(7, 8, (result,))
    assert type(loaded.results[0]) is type(result)


def test_all_results_of_one_commit() -> None:
    committed = Committed(1000 * 2**43 + 1, 1_700_000_000_000, RESULTS)
    assert load(dump(committed)) == committed


def test_the_bytes_do_not_change() -> None:
    """They lie in stores: other bytes would need a migration."""
    committed = Committed(1, 2, (None, True, 3, TaskState.DEAD, Enqueued("a", created=True)))
    assert msgspec.msgpack.decode(dump(committed)) == [
        1,
        2,
        [None, True, 3, "dead", {"enqueued": {"id": "a", "created": True}}],
    ]


@pytest.mark.parametrize(
    "wire",
    [
        (1, 2),
        (1, 2, [], 3),
        (True, 2, []),
        (1, 2, [1.0]),
        (1, 2, ["asleep"]),
        (1, 2, [{"found": {}}]),
        (1, 2, [{}]),
        (1, 2, [{"enqueued": {"id": "a"}}]),
        (1, 2, [{"enqueued": {"id": "a", "created": 1}}]),
    ],
    ids=repr,
)
def test_what_dump_did_not_write_is_refused(wire: object) -> None:
    data = msgspec.msgpack.encode(wire)
    with pytest.raises(CorruptData) as caught:
        load(data)
    assert caught.value.raw == data


def test_cut_bytes_are_refused() -> None:
    with pytest.raises(CorruptData):
        load(dump(Committed(1, 2, RESULTS))[:-1])
