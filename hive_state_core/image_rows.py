"""Images as plain rows, in which two stores hand them to one another without making an image of each.

A row has the fields of the image in their order, its ref first and part by part. Numbers, bytes and strings
are as they are. Index entries are what `dump_index` makes of them, a task's state is its text, `requires` and
`parents` are JSON lists; None stands for none. What is true or false may be 1 or 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from hive_state_core.images import Key, key_of, kind_of
from hive_state_core.index_text import dump_index, load_index
from hive_state_core.model import EventImage, Image, RecordImage, RecordRef, TaskImage, TaskRef, TaskState
from hive_state_core.spi import ImageRow, Kind

KEYS: dict[Kind, tuple[str, ...]] = {
    "record": RecordRef.__struct_fields__,
    "task": TaskRef.__struct_fields__,
    "event": ("stream", "seq"),
}
"""The kinds that have rows, those that there may be very many of: the fields of their keys."""

FIELDS: dict[Kind, tuple[str, ...]] = {
    "record": (*KEYS["record"], *RecordImage.__struct_fields__[1:]),
    "task": (*KEYS["task"], *TaskImage.__struct_fields__[1:]),
    "event": EventImage.__struct_fields__,
}
"""Of the rows of each kind, in order."""

SIZES: dict[Kind, Callable[[ImageRow], int]] = {
    "record": lambda row: len(row[4] or b""),
    "task": lambda row: len(row[7]) + len(row[20] or b""),
    "event": lambda row: len(row[3]),
}
"""Of the values in a row, by which a page is bounded."""

_dump = msgspec.json.Encoder().encode
_load = msgspec.json.Decoder(tuple[str, ...]).decode


def dump_names(names: Sequence[str]) -> str | None:
    """Of `requires` and `parents`."""
    return _dump(names).decode() if names else None


def load_names(text: str | None) -> tuple[str, ...]:
    """What `dump_names` wrote."""
    return _load(text) if text else ()


_DUMP: dict[str, Callable[[Any], object]] = {
    "index": dump_index,
    "state": lambda state: state.value,
    "requires": dump_names,
    "parents": dump_names,
}
_LOAD: dict[str, Callable[[Any], object]] = {
    "index": lambda text: () if text is None else load_index(text),
    "state": TaskState,
    "requires": load_names,
    "parents": load_names,
    "raw": bool,
    "result_raw": bool,
    "cancel_requested": bool,
}


def row_of(image: Image) -> ImageRow:
    """Raises KeyError for an image of a kind that has no rows."""
    key = key_of(image)
    rest = FIELDS[kind_of(image)][len(key) :]
    return (*key, *[_DUMP.get(name, _as_it_is)(getattr(image, name)) for name in rest])


def image_of(kind: Kind, row: ImageRow) -> Image:
    """What `row_of` made a row of."""
    fields: dict[str, Any] = {
        name: _LOAD.get(name, _as_it_is)(value) for name, value in zip(FIELDS[kind], row, strict=True)
    }
    if kind == "event":
        return EventImage(**fields)
    key = [fields.pop(name) for name in KEYS[kind]]
    if kind == "task":
        return TaskImage(ref=TaskRef(*key), **fields)
    return RecordImage(ref=RecordRef(*key), **fields)


def row_key(kind: Kind, row: ImageRow) -> Key:
    """As `key_of` of its image."""
    return tuple(row[: len(KEYS[kind])])


def highest(kind: Kind, field: str, rows: Iterable[ImageRow]) -> int:
    """The highest number in this field; 0 if the kind has no such field, or there are no rows."""
    if field not in FIELDS[kind]:
        return 0
    return max(map(itemgetter(FIELDS[kind].index(field)), rows), default=0)


def latest(kind: Kind, rows: Iterable[ImageRow]) -> int:
    """The latest instant at which a store's clock gave rise to one of them, see `images.instant_of`."""
    return highest(kind, "at" if kind == "event" else "updated_at", rows)


def _as_it_is(value: object) -> object:
    return value
