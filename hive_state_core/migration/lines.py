"""A store as JSON Lines: one line an image, in the order of kinds and keys, then one that says how many.

Values are JSON where they are canonical JSON, else `value_base64` has their bytes; so it is with `payload`,
`result`, `body`. Two stores that hold the same give the same bytes: what is a store's own (ids, control row,
notes) is left out. Tombstones are in it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hive_state_core.codec import is_canonical
from hive_state_core.errors import InvalidArgument
from hive_state_core.images import key_of, kind_of
from hive_state_core.model import (
    CommitImage,
    EventImage,
    GroupImage,
    Image,
    PendingImage,
    QueueImage,
    RecordImage,
    StreamImage,
    TaskImage,
)
from hive_state_core.spi import KINDS, Kind, Replication, Span

FORMAT = 1
PAGE = 2000

_TYPES: dict[str, type[Image]] = {
    "record": RecordImage,
    "task": TaskImage,
    "queue": QueueImage,
    "event": EventImage,
    "stream": StreamImage,
    "pending": PendingImage,
    "group": GroupImage,
    "commit": CommitImage,
}
_VALUES = {"value": "raw", "payload": "raw", "body": "raw", "result": "result_raw"}
"""Bytes that are JSON unless the other field says that they are raw."""
_SUFFIX = "_base64"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


async def export_lines(port: Replication) -> AsyncIterator[bytes]:
    """The lines, each with its end. The store should be at rest: each page is a snapshot of its own."""
    counts: dict[Kind, int] = {}
    yield _encode({"kind": "hive-state", "format": FORMAT}) + b"\n"
    for kind in KINDS:
        span = Span(kind=kind, limit=PAGE)
        while images := await port.export(span):
            for image in images:
                yield line_of(image)
            counts[kind] = counts.get(kind, 0) + len(images)
            span = Span(kind=kind, after=key_of(images[-1]), limit=PAGE)
    yield _encode({"kind": "end", "counts": counts}) + b"\n"


def line_of(image: Image) -> bytes:
    """With its line end."""
    fields = msgspec.structs.asdict(image)
    ref = fields.pop("ref", None)
    named = {} if ref is None else msgspec.structs.asdict(ref)
    line: dict[str, Any] = {"kind": kind_of(image), **named}
    for name, value in fields.items():
        line.update(_field(name, value, fields))
    return _encode(line) + b"\n"


def _field(name: str, value: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, bytes):
        return {name: value}
    is_json = name in _VALUES and not fields[_VALUES[name]] and is_canonical(value)
    if is_json and value != b"null":  # which would read as "there is none"
        return {name: msgspec.Raw(value)}
    return {name + _SUFFIX: b64encode(value).decode()}


def read_lines(lines: Iterable[bytes]) -> Iterator[Image]:
    """The images. Raises InvalidArgument, which names the line, unless it is an export, and a whole one."""
    counts: dict[str, int] = {}
    ended = False
    for number, line in enumerate(lines, 1):
        try:
            if ended:
                raise ValueError("something follows the end")
            fields = _decode(line)
            kind = msgspec.json.decode(fields.pop("kind"), type=str)
            if number == 1:
                _require_format(kind, fields)
            elif kind == "end":
                _require_counts(counts, msgspec.json.decode(fields["counts"]))
                ended = True
            else:
                yield _image(kind, fields)
                counts[kind] = counts.get(kind, 0) + 1
        except (ValueError, KeyError, msgspec.MsgspecError) as error:
            raise InvalidArgument(f"line {number} is not of an export of hive-state: {error}") from error
    if not ended:
        raise InvalidArgument("the export is cut off: its last line is missing")


def _require_format(kind: str, fields: Mapping[str, msgspec.Raw]) -> None:
    found = msgspec.json.decode(fields["format"]) if kind == "hive-state" else None
    if found != FORMAT:
        raise ValueError(f"it should say format {FORMAT}")


def _require_counts(counts: Mapping[str, int], wanted: object) -> None:
    if counts != wanted:
        raise ValueError(f"it says {wanted}, and there were {dict(counts)}: lines are missing")


def _image(kind: str, line: dict[str, msgspec.Raw]) -> Image:
    image_type = _TYPES[kind]
    fields: dict[str, Any] = {}
    for name, raw in line.items():
        if name.endswith(_SUFFIX):
            fields[name.removesuffix(_SUFFIX)] = b64decode(msgspec.json.decode(raw, type=str), validate=True)
        elif name in _VALUES and bytes(raw) != b"null":
            fields[name] = bytes(raw)
        else:
            fields[name] = msgspec.json.decode(raw)
    if image_type is not EventImage:
        ref_type = {field.name: field.type for field in msgspec.structs.fields(image_type)}["ref"]
        names = [field.name for field in msgspec.structs.fields(ref_type)]
        fields["ref"] = {name: fields.pop(name) for name in names}
    return msgspec.convert(fields, image_type)
