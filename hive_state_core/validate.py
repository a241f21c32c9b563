"""Checks of what a caller passes in, shared by all facets. Every failure says what, and what would do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil, isfinite
from typing import TypeVar

from hive_state_core.errors import InvalidArgument, LimitExceeded, digits
from hive_state_core.limits import (
    DURATION_MS,
    INDEX_FIELDS,
    INDEX_VALUE_BYTES,
    KEY_BYTES,
    NAME_BYTES,
    VERSION_MAX,
)
from hive_state_core.model import Index, Scalar

Duration = float | timedelta
"""Seconds, or a timedelta."""

IndexValues = Mapping[str, Scalar | Sequence[Scalar]]

Item = TypeVar("Item")

_known_names: set[str] = set()
_KNOWN_NAMES_MOST = 10_000


def name(value: object, what: str) -> str:
    """A namespace, collection, queue, worker...: a non-empty string within NAME_BYTES."""
    if type(value) is str and value in _known_names:
        return value
    checked = _text(value, what, NAME_BYTES)
    if len(_known_names) < _KNOWN_NAMES_MOST:
        _known_names.add(checked)
    return checked


def key(value: object, what: str = "key") -> str:
    """A record's key, a task's id...: a non-empty string within KEY_BYTES."""
    if type(value) is str and 0 < len(value) <= KEY_BYTES and value.isascii() and "\0" not in value:
        return value
    return _text(value, what, KEY_BYTES)


def _text(value: object, what: str, most: int) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{what} must be a str, not {type(value).__name__}")
    if not value:
        raise InvalidArgument(f"{what} must not be empty")
    if "\0" in value:
        raise InvalidArgument(f"{what} must not hold the NUL character")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{what} holds a lone surrogate, which is no valid Unicode") from error
    if size > most:
        raise LimitExceeded(f"the length of {what} in bytes", size, most)
    return str(value)


def duration(value: Duration, what: str, *, zero: bool = False) -> int:
    """Milliseconds, rounded up. More than nothing, unless `zero`; at most about 200 years."""
    if type(value) is int and (0 < value <= DURATION_MS // 1000 or (zero and value == 0)):
        return value * 1000
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif type(value) is not int and (type(value) is not float or not isfinite(value)):
        raise InvalidArgument(f"{what} must be a number of seconds or a timedelta")
    else:
        seconds = value
    if seconds < 0 or (seconds == 0 and not zero):
        raise InvalidArgument(f"{what} must be {'0 or more' if zero else 'more than 0'} seconds")
    if seconds > DURATION_MS / 1000:
        raise LimitExceeded(f"{what} in milliseconds", int(seconds * 1000), DURATION_MS)
    return ceil(round(seconds * 1000, 6))


def optional_duration(value: Duration | None, what: str) -> int | None:
    return None if value is None else duration(value, what)


def timeout(value: float | None) -> None:
    """Seconds to wait for an answer; None: for as long as it takes."""
    if value is not None and (type(value) not in (int, float) or not value <= DURATION_MS):
        raise InvalidArgument("timeout must be a number of seconds, or None")


def several(given: Iterable[Item], what: str) -> Iterable[Item]:
    """A list, or whatever gives items one by one. A str or a mapping is refused: its letters, or keys, are
    hardly meant."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise InvalidArgument(f"{what} must be a list, not one {type(given).__name__}")
    return given


def integer(value: object, what: str, least: int, most: int) -> int:
    if type(value) is int and least <= value <= most:
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"{what} must be an int, not {type(value).__name__}")
    if value < least:
        raise InvalidArgument(f"{what} is {digits(value)}; the least that is allowed is {least}")
    if value > most:
        raise LimitExceeded(what, value, most)
    return value


def version(value: object) -> int:
    """A version to compare with: 1 or more."""
    if type(value) is int and value == 0:
        raise InvalidArgument(
            "if_version is 0, and versions begin at 1; what is not there yet is written by if_absent=True"
        )
    return integer(value, "if_version", 1, VERSION_MAX)


def index(values: IndexValues | None) -> Index:
    """Index entries in a canonical order; a sequence of scalars gives its field several values."""
    if not values:
        return ()
    if not isinstance(values, Mapping):
        raise InvalidArgument(f"index fields must be a mapping of their names, not {type(values).__name__}")
    entries: dict[tuple[str, str, str], tuple[str, Scalar]] = {}
    for field, given in values.items():
        name(field, "an index field")
        several = isinstance(given, Sequence) and not isinstance(given, str)
        for item in given if several else (given,):  # type: ignore[union-attr]
            scalar = _index_value(item, field)
            entries[(field, type(scalar).__name__, repr(scalar))] = (field, scalar)
    if len(entries) > INDEX_FIELDS:
        raise LimitExceeded("the number of index entries", len(entries), INDEX_FIELDS)
    return tuple(entries[place] for place in sorted(entries))


def _index_value(value: object, field: str) -> Scalar:
    if value is None or isinstance(value, bool):
        return value
    if type(value) is int:
        return integer(value, f"index field {field!r}", -(2**63), 2**63 - 1)
    if type(value) is float and isfinite(value):
        return value + 0.0  # -0.0 and 0.0 are one value
    if type(value) is str:
        try:
            size = len(value.encode())
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"index field {field!r} holds a lone surrogate") from error
        if size > INDEX_VALUE_BYTES:
            raise LimitExceeded(f"the length of index field {field!r} in bytes", size, INDEX_VALUE_BYTES)
        return value
    raise InvalidArgument(
        f"index field {field!r} must be a str, finite number, bool or None, or a list of these"
    )


def instant(milliseconds: int) -> datetime:
    """The aware datetime of an instant."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


def optional_instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else instant(milliseconds)


def prefix_stop(prefix: str) -> str | None:
    """The first key after all that begin with `prefix`, in byte order; None: there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            following = last + 1
            return prefix[:-1] + chr(0xE000 if following == 0xD800 else following)
        prefix = prefix[:-1]
    return None
