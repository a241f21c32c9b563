"""Arguments that no store takes, and those that every store must."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_state_core import cursors, validate
from hive_state_core.errors import InvalidArgument, LimitExceeded
from hive_state_core.limits import KEY_BYTES, NAME_BYTES
from hive_state_core.spi import Scan


@pytest.mark.parametrize("good", ["a", " ", "a/b:{c}*?%_'\"\\;", "é" * 500, "\U0010ffff", "\n"])
def test_keys_that_are_taken_as_they_are(good: str) -> None:
    assert validate.key(good) == good


@pytest.mark.parametrize("bad", ["", "a\0b", "\ud800", 5, None, b"bytes"])
def test_keys_that_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgument):
        validate.key(bad)


def test_a_version_of_0_tells_how_to_ask_for_absence() -> None:
    with pytest.raises(InvalidArgument, match="if_absent=True"):
        validate.version(0)


def test_sizes_are_counted_in_bytes() -> None:
    validate.key("é" * (KEY_BYTES // 2))
    with pytest.raises(LimitExceeded) as caught:
        validate.key("é" * (KEY_BYTES // 2) + "x")
    assert (caught.value.actual, caught.value.allowed) == (KEY_BYTES + 1, KEY_BYTES)
    with pytest.raises(LimitExceeded):
        validate.name("x" * (NAME_BYTES + 1), "queue")


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [(1, 1000), (1.9, 1900), (0.001, 1), (0.0001, 1), (2.3, 2300), (timedelta(milliseconds=7), 7)],
)
def test_durations_are_whole_milliseconds_never_too_short(given: Any, milliseconds: int) -> None:
    assert validate.duration(given, "ttl") == milliseconds


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "1", None, 10**12])
def test_durations_that_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgument):
        validate.duration(bad, "ttl")


def test_an_index_is_canonical_and_keeps_types_apart() -> None:
    assert validate.index({"b": "x", "a": ["z", "y", "y"]}) == (("a", "y"), ("a", "z"), ("b", "x"))
    values = validate.index({"n": [1, 1.0, True, "1", None]})
    assert len(values) == 5
    with pytest.raises(InvalidArgument):
        validate.index({"n": float("nan")})
    with pytest.raises(InvalidArgument):
        validate.index({"n": 2**63})
    with pytest.raises(LimitExceeded):
        validate.index({"n": list(range(33))})


def test_instants_are_exact_and_aware() -> None:
    assert validate.instant(1_700_000_000_123) == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)


@given(st.text(min_size=1), st.text())
def test_all_keys_of_a_prefix_are_below_its_stop(prefix: str, rest: str) -> None:
    stop = validate.prefix_stop(prefix)
    if stop is not None:
        assert prefix <= prefix + rest < stop


def test_the_stop_of_a_prefix_skips_what_is_no_character() -> None:
    assert validate.prefix_stop("a\ud7ff") == "a\ue000"
    assert validate.prefix_stop("a\U0010ffff") == "b"
    assert validate.prefix_stop("\U0010ffff") is None


def test_a_cursor_is_bound_to_its_query() -> None:
    query = Scan(kind="record", within="c", limit=10)
    cursor = cursors.make_cursor(query, "kéy")
    assert cursors.open_cursor(cursor, Scan(kind="record", within="c", limit=99)) == "kéy"
    for other in (cursor[:-3], "garbage!", "", "AAAA", cursor + "!"):
        with pytest.raises(InvalidArgument):
            cursors.open_cursor(other, query)
    with pytest.raises(InvalidArgument):
        cursors.open_cursor(cursor, Scan(kind="record", within="d", limit=10))
