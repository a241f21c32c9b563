"""Calls of the scripts for one store."""

from __future__ import annotations

from typing import Any

from hive_state_redis import scripts
from hive_state_redis.connecting import Link
from hive_state_redis.keys import Keys
from hive_state_redis.replies import accepted


class Caller:
    """A link, and the keys of the store that it is used for."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self.link = link
        self.keys = keys

    async def script(self, name: str, *arguments: bytes | str | int) -> Any:
        """What the script of this name answers. Raises what `accepted` does."""
        return accepted(await self.link.script(scripts.script(name), [self.keys.prefix], arguments))
