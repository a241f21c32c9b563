"""What a trip leaves for the replication port: a mark for each sink, and a Gone for what was removed.

It looks at the entries that the trip is about to write, so no operation can forget it.
"""

from __future__ import annotations

from collections.abc import Collection

from hive_state_core.kv.entities import Entities
from hive_state_core.kv.keys import GONE, MARK, decode, encode, image_at, join, ref_at
from hive_state_core.model import RecordRef
from hive_state_core.spi import CACHE


async def capture(state: Entities, sinks: Collection[str], version: int) -> None:
    """For every entity that was changed in `state`. `version`: that of the trip."""
    if not sinks:
        return
    for key, data in list(state.changes().items()):
        ref = ref_at(key)
        if ref is None or (data is None and isinstance(ref, RecordRef)):  # a tombstone's end is no news
            continue
        wanting = sinks if isinstance(ref, RecordRef) else [sink for sink in sinks if sink != CACHE]
        if not wanting:
            continue
        if data is None:
            changed = _gone(state, key, version)
        else:
            changed = image_at(key, data).version
            state.put(gone_key(key), None)  # it is back
        for sink in wanting:
            state.put(mark_key(sink, key), encode(changed))


def _gone(state: Entities, key: bytes, version: int) -> int:
    """The version of the Gone that stands for the entity from now on; a loaded one is there already."""
    loaded = state.changes().get(gone_key(key))
    if loaded is not None:
        return decode(loaded, int)
    state.put(gone_key(key), encode(version))
    return version


def mark_key(sink: str, key: bytes) -> bytes:
    """Of the mark of the image at `key`."""
    return join(MARK, sink) + b"\0" + key


def gone_key(key: bytes) -> bytes:
    """Of the Gone in the place of the image at `key`."""
    return join(GONE) + b"\0" + key


async def is_marked(state: Entities, sinks: Collection[str], key: bytes) -> bool:
    """Whether some sink still has to be told of the entity at `key`."""
    for sink in sinks:
        if await state.get(mark_key(sink, key)) is not None:
            return True
    return False
