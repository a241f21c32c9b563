"""The source on a thread of its own: SQLite and JSON are read there, not on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from hive_state_legacy.options import Options
from hive_state_legacy.snapshot import Snapshot
from hive_state_legacy.source import Source

T = TypeVar("T")


class Reader:
    """Use as `async with Reader(options) as reader:`; or `open` and `close` it."""

    def __init__(self, options: Options, snapshot: Snapshot | None = None) -> None:
        self.source = Source(options, snapshot)
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Raises as `Source.open` does."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hive-state-legacy")
        try:
            await self.run(self.source.open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """What is read just now comes to its end first, also if nobody waits for it any more."""
        thread, self._thread = self._thread, None
        if thread is not None:
            closed = thread.submit(self.source.close)
            thread.shutdown(wait=False)
            await asyncio.shield(asyncio.wrap_future(closed))

    async def run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise RuntimeError("the reader is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
