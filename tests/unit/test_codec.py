"""Values come back equal in type and value, or are refused with the place named."""

from __future__ import annotations

import datetime
import enum
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_state_core import codec
from hive_state_core.errors import CorruptData, InvalidArgument, LimitExceeded
from hive_state_core.limits import VALUE_BYTES, VALUE_DEPTH

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    """Equal, in type too, all the way down; -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)


@given(json_values)
def test_every_json_value_comes_back(value: Any) -> None:
    data, raw = codec.encode(value)
    assert not raw
    assert same(codec.decode(data, raw, "it"), value)


def test_bytes_come_back_as_bytes() -> None:
    every = bytes(range(256))
    assert codec.encode(every) == (every, True)
    assert codec.decode(every, True, "it") == every


def test_the_form_is_canonical() -> None:
    assert (
        codec.encode({"b": 1.0, "a": [None, True, "é\0"]})[0]
        == '{"a":[null,true,"é\\u0000"],"b":1.0}'.encode()
    )


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "value"),
        ({"a": [1, float("inf")]}, "value['a'][1]"),
        ({1: 2}, "value"),
        ({"x": {"y": {None: 1}}}, "value['x']['y']"),
        ((1, 2), "value"),
        ({1, 2}, "value"),
        ([b"bytes"], "value[0]"),
        (datetime.datetime.now(datetime.UTC), "value"),
        (Colour.RED, "value"),
        (OrderedDict(a=1), "value"),
        ({"a": object()}, "value['a']"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(value: Any, place: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.encode(value)
    assert str(caught.value).startswith(f"{place} cannot be stored")


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="surrogate"):
        codec.encode({"text": "\ud800"})
    with pytest.raises(InvalidArgument, match="surrogate"):
        codec.encode({"\udfff": 1})


def test_depth_and_size_are_bounded() -> None:
    deep: list[Any] = []
    for _ in range(VALUE_DEPTH - 1):
        deep = [deep]
    codec.encode(deep)
    with pytest.raises(InvalidArgument, match="levels deep"):
        codec.encode([deep])
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidArgument, match="levels deep"):
        codec.encode(endless)
    codec.encode(b"x" * VALUE_BYTES)
    with pytest.raises(LimitExceeded) as caught:
        codec.encode("x" * (VALUE_BYTES - 1))
    assert (caught.value.actual, caught.value.allowed) == (VALUE_BYTES + 1, VALUE_BYTES)


def test_damaged_bytes_are_kept_but_not_told() -> None:
    with pytest.raises(CorruptData) as caught:
        codec.decode(b'{"secret": ', False, "record 'k'")
    assert caught.value.raw == b'{"secret": '
    assert "secret" not in str(caught.value)
