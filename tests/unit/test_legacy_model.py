"""The mapping between the original hive's words and ours."""

from datetime import UTC, datetime

import pytest

from hive_state_core import codec
from hive_state_core.errors import CorruptData
from hive_state_core.legacy_model import STATES, Note, decode_note, encode_note, status_of
from hive_state_core.model import TaskState


@pytest.mark.parametrize("status", list(STATES))
def test_every_status_comes_back(status: str) -> None:
    assert status_of(STATES[status], Note(status=status)) == status


@pytest.mark.parametrize("state", list(TaskState))
def test_every_state_has_a_status_of_the_original(state: TaskState) -> None:
    assert status_of(state, None) in STATES


def test_the_state_of_the_task_outweighs_an_old_note() -> None:
    assert status_of(TaskState.COMPLETED, Note(status="assigned")) == "completed"
    assert status_of(TaskState.READY, Note(status="in_progress")) == "pending"


def test_a_note_is_canonical_json() -> None:
    note = Note(agent_id="a", started_at=datetime(2026, 11, 22, 19, 55, 16, 75000, UTC), status="assigned")
    data = encode_note(note)
    assert decode_note(data, "t") == note
    assert codec.encode(codec.decode(data, False, "note"))[0] == data


def test_broken_bytes_are_named_and_kept() -> None:
    with pytest.raises(CorruptData, match="'t'") as caught:
        decode_note(b"{", "t")
    assert caught.value.raw == b"{"
