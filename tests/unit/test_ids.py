"""Ids, and the texts that are kept of errors."""

from __future__ import annotations

import pytest

from hive_state_core.ids import derived_id, error_text, new_id
from hive_state_core.limits import ERROR_BYTES

pytestmark = pytest.mark.prompt


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(each) == 32 and int(each, 16) for each in ids)
    stamps = [new_id()[:12] for _ in range(100)]
    assert stamps == sorted(stamps)


def test_derived_ids_depend_on_the_commit_id_and_the_place() -> None:
    assert derived_id("c", 1) == derived_id("c", 1)
    assert len({derived_id("c", 1), derived_id("c", 2), derived_id("d", 1), derived_id("1:c", 1)}) == 4


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("plain", "plain"),
        ("", "failed"),
        ("a\0b", "a\ufffdb"),
        ("a\ud800b", "a?b"),
        (ValueError("x"), "ValueError: x"),
        (Mute(), "Mute"),
    ],
)
def test_error_texts_can_be_stored(error: object, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize("letter", ["x", "é", "𝄞", "\0", "\ud800"])
def test_long_error_texts_are_cut_between_characters(letter: str) -> None:
    text = error_text(letter * (ERROR_BYTES * 2))
    assert ERROR_BYTES - 4 < len(text.encode()) <= ERROR_BYTES
