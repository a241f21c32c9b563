"""Calls of the library's functions, for one store."""

from __future__ import annotations

from typing import Any

from hive_state_core.errors import Internal
from hive_state_redis.connecting import Link
from hive_state_redis.keys import Keys
from hive_state_redis.library import library
from hive_state_redis.replies import accepted


class Caller:
    """A link, and the keys of the store that it is used for."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self.link = link
        self.keys = keys
        self._library = library()

    async def write(self, function: str, *arguments: bytes | str | int) -> Any:
        """What the function of this name answers. Raises what `accepted` does."""
        return accepted(await self._call(function, arguments, reads=False))

    async def read(self, function: str, *arguments: bytes | str | int) -> Any:
        """The same of a function that changes nothing, and so may be called twice."""
        return accepted(await self._call(function, arguments, reads=True))

    async def _call(self, function: str, arguments: tuple[bytes | str | int, ...], *, reads: bool) -> Any:
        command = ("FCALL", f"{self._library.name}_{function}", 1, self.keys.prefix, *arguments)
        try:
            return await self.link.call(*command, reads=reads)
        except Internal as error:
            if "Function not found" not in str(error.__cause__):
                raise
        await self.link.call("FUNCTION", "LOAD", "REPLACE", self._library.source)
        return await self.link.call(*command, reads=reads)
