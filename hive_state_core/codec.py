"""Values to bytes and back: canonical JSON, strictly, or the caller's own bytes.

Canonical = keys sorted by code point, no white space, shortest floats, UTF-8. Strict = what comes back is
equal to what went in, in type and value, or it is refused: no NaN or infinity, no key that is not a
string, no tuple, set, datetime or subclass that an encoder would quietly turn into something else.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec

from hive_state_core.errors import CorruptData, InvalidArgument, LimitExceeded
from hive_state_core.limits import VALUE_BYTES, VALUE_DEPTH

Json = Any
"""None, bool, int, float, str, or lists and str-keyed dicts of these; `bytes` at the top level only."""

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
_PLAIN = frozenset({str, int, bool, type(None)})


def encode(value: Json) -> tuple[bytes, bool]:
    """(encoded bytes, raw). Raises InvalidArgument, naming the place in the value, or LimitExceeded."""
    if type(value) is bytes:
        data, raw = value, True
    else:
        data, raw = _encode_json(value), False
    if len(data) > VALUE_BYTES:
        raise LimitExceeded("the size of the encoded value in bytes", len(data), VALUE_BYTES)
    return data, raw


def decode(data: bytes, raw: bool, what: str | Callable[[], str]) -> Json:
    """The value. `what` is its name for the error, or makes it. Raises CorruptData, which keeps the bytes."""
    if raw:
        return data
    try:
        return _decode(data)
    except msgspec.DecodeError as error:
        named = what if isinstance(what, str) else what()
        raise CorruptData(f"the stored value of {named} is not valid JSON", raw=data) from error


def is_canonical(data: bytes) -> bool:
    """Whether these bytes are what `encode` makes of some JSON value."""
    try:
        return _encode(_decode(data)) == data
    except (msgspec.MsgspecError, ValueError):
        return False


def _encode_json(value: Json) -> bytes:
    if not _is_strict(value, VALUE_DEPTH):
        where, why = _find_fault(value, "value", VALUE_DEPTH)
        raise InvalidArgument(f"{where} cannot be stored: {why}")
    try:
        return _encode(value)
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            "the value holds a string with a lone surrogate, which is no valid Unicode"
        ) from error
    except ValueError as error:  # an int of more digits than Python converts
        raise InvalidArgument(f"the value cannot be stored: {error}") from error


def _is_strict(value: Json, depth: int) -> bool:
    """The walk over every value that is written: it looks at each item, and calls itself for few of them."""
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        items = value.values()
    elif kind is list:
        items = value
    else:
        return kind in _PLAIN or (kind is float and isfinite(value))
    if depth == 0:
        return False
    for item in items:
        kind = type(item)
        if kind is str or kind is int or kind is bool or item is None:
            continue
        if kind is float:
            if not isfinite(item):
                return False
        elif not _is_strict(item, depth - 1):
            return False
    return True


def _find_fault(value: Json, where: str, depth: int) -> tuple[str, str]:
    """Where `_is_strict` said no, and why, for the error message. No part of a value but its keys is
    named."""
    if isinstance(value, float):
        return where, "NaN and infinities are no JSON numbers"
    if type(value) not in (dict, list):
        return where, f"{type(value).__name__} is no JSON type; convert it first, or store bytes"
    if depth == 0:
        return where, f"it is nested more than {VALUE_DEPTH} levels deep"
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                return where, f"a key is of type {type(key).__name__}; keys must be str"
            if not _is_strict(item, depth - 1):
                return _find_fault(item, f"{where}[{key[:40]!r}]", depth - 1)
    place = next(i for i, item in enumerate(value) if not _is_strict(item, depth - 1))
    return _find_fault(value[place], f"{where}[{place}]", depth - 1)
