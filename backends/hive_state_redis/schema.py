"""The namespace: looked for, made and dropped. Redis needs no schema beyond it."""

from __future__ import annotations

from hive_state_core.errors import SchemaMismatch
from hive_state_core.spi import SchemaAction, SchemaInfo
from hive_state_redis.caller import Caller
from hive_state_redis.keys import DROPPING, SCHEMA, load_head, new_head


async def act(caller: Caller, action: SchemaAction) -> SchemaInfo:
    """See `Driver.schema`. Raises SchemaMismatch for a layout that is newer than ours."""
    if action == "inspect":
        found = await _once(caller, action)
        return SchemaInfo(found=SCHEMA if found is None else load_head(found).schema, wanted=SCHEMA)
    if action == "drop":
        await _drop(caller)
        return SchemaInfo(found=None, wanted=SCHEMA, steps=("removed the namespace",))
    made = await ensure(caller)
    return SchemaInfo(found=SCHEMA, wanted=SCHEMA, steps=("created the namespace",) if made else ())


async def ensure(caller: Caller) -> bool:
    """Make the namespace if it is not there; whether it was made."""
    found = await _once(caller, "upgrade")
    if found == DROPPING:
        await _drop(caller)
        found = await _once(caller, "upgrade")
    if found is None:
        return True
    layout = load_head(found).schema
    if layout != SCHEMA:
        mend = "use the version that wrote it"
        if layout < SCHEMA:
            mend += " to export it (hive-state export), and import it into another namespace"
        raise SchemaMismatch(
            f"the namespace has layout {layout}, this version knows {SCHEMA}; {mend}",
            found=layout,
            expected=SCHEMA,
        )
    return False


async def _once(caller: Caller, action: str) -> bytes | None:
    found, *_ = await caller.write("schema", action, new_head(), caller.keys.pattern, "0")
    return found  # type: ignore[no-any-return]


async def _drop(caller: Caller) -> None:
    """Step by step, so that other stores of the server get their turns."""
    cursor: bytes | str = "0"
    while True:
        _, more, *rest = await caller.write("schema", "drop", new_head(), caller.keys.pattern, cursor)
        if not more:
            return
        (cursor,) = rest
