"""A `Committed` as portable bytes and back: how the memory of a commit is stored (`CommitImage.results`).

The same bytes on every backend, so a remembered commit survives a move to another store. MessagePack of
(version, at, results). Among the results None, bools and ints are themselves, a task state is its text, and
a struct is a map of its name to its fields.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hive_state_core.errors import CorruptData
from hive_state_core.model import TaskState
from hive_state_core.spi import Committed, Enqueued, Extended, OpResult, Trimmed

_Wire = None | bool | int | str | dict[str, dict[str, Any]]
_STRUCTS: dict[str, type[Enqueued | Extended | Trimmed]] = {
    "enqueued": Enqueued,
    "extended": Extended,
    "trimmed": Trimmed,
}
_NAMES = {struct: name for name, struct in _STRUCTS.items()}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, tuple[_Wire, ...]]).decode


def dump(committed: Committed) -> bytes:
    """The portable form; `load` gives an equal value back, types included."""
    return _encode((committed.version, committed.at, [_to_wire(result) for result in committed.results]))


def load(data: bytes) -> Committed:
    """Raises CorruptData, which keeps the bytes, if they are not what `dump` writes."""
    try:
        version, at, results = _decode(data)
        return Committed(version, at, tuple(map(_from_wire, results)))
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise CorruptData("the stored outcome of a commit cannot be decoded", raw=data) from error


def _to_wire(result: OpResult) -> _Wire:
    if isinstance(result, TaskState):
        return result.value
    if isinstance(result, Enqueued | Extended | Trimmed):
        return {_NAMES[type(result)]: msgspec.structs.asdict(result)}
    return result


def _from_wire(wire: _Wire) -> OpResult:
    if isinstance(wire, str):
        return TaskState(wire)
    if isinstance(wire, dict):
        ((name, fields),) = wire.items()
        return msgspec.convert(fields, _STRUCTS[name])
    return wire
