"""A network between a process and a server, which can hang, or lose the answer to one message."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Proxy:
    """`url` leads by way of it to the server of `target`. Use it as an async context manager.

    flows  while this is not set, nothing arrives on either side; connections are accepted all the same
    lost   what a message holds whose answer is lost, and its connection with it; once
    """

    def __init__(self, target: str) -> None:
        self._before, _, place = target.partition("@")
        self._host, _, rest = place.partition(":")
        port, _, self._after = rest.partition("/")
        self._port = int(port)
        self.flows = asyncio.Event()
        self.flows.set()
        self.lost: bytes | None = None
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Proxy:
        await self._tasks.__aenter__()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{self._before}@127.0.0.1:{port}/{self._after}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.flows.set()
        await self._tasks.__aexit__(kind, error, trace)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._host, self._port)
        way = _Way(self, writer, there[1])
        self._tasks.create_task(way.carry(reader, there[1], asks=True))
        self._tasks.create_task(way.carry(there[0], writer, asks=False))


class _Way:
    """Of one connection."""

    def __init__(self, proxy: Proxy, *writers: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = writers
        self._losing = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool) -> None:
        try:
            while data := await reader.read(65536):
                await self._proxy.flows.wait()
                if asks and self._proxy.lost is not None and self._proxy.lost in data:
                    self._losing, self._proxy.lost = True, None
                elif self._losing and not asks:
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the one side has gone: so does the other
        finally:
            for each in self._writers:
                each.close()
