"""One connection: commands go out at once, one behind another, and their replies come back in that order.

It speaks the protocol itself, over hiredis: an `await` of redis-py's client costs three to four times as much
(see docs/adr/0009-a-connection-of-our-own.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import hiredis

Command: TypeAlias = Sequence[bytes | str | int]
Reply: TypeAlias = Any
"""bytes, int, None, a list of these, or a `hiredis.ReplyError` that the server sent."""

_INCOMPLETE = object()


class _Asked(NamedTuple):
    """`wanted` replies make the answer; asked at this instant of the loop's clock."""

    answer: asyncio.Future[list[Reply]]
    wanted: int
    at: float


class Wire(asyncio.Protocol):
    """Replies of calls that were given up are thrown away, so a cancelled call disturbs nobody."""

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._asked: deque[_Asked] = deque()
        self._replies: list[Reply] = []
        self._watchdog: asyncio.TimerHandle | None = None
        self._lost: BaseException | None = None
        self._leaving = False
        self._first: Reply = None
        self._closed = self._loop.create_future()
        self.heard: Callable[[Reply | None], None] | None = None
        """If set, replies that nobody asked for go there, and None when the connection is gone."""

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def usable(self) -> bool:
        """Whether calls may begin."""
        return self.alive and not self._leaving

    @property
    def refusal(self) -> hiredis.ReplyError | None:
        """What a server said first that closes the connection without being asked, as when it is full."""
        return self._first if isinstance(self._first, hiredis.ReplyError) else None

    @property
    def busy(self) -> int:
        """Calls that are under way."""
        return len(self._asked)

    def ask(self, *commands: Command) -> asyncio.Future[list[Reply]]:
        """The replies, one for each command, those that are errors included.

        The future raises OSError if the connection breaks, and TimeoutError, which is one, if the server
        is silent for too long; then all that is under way is given up.
        """
        answer: asyncio.Future[list[Reply]] = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(self._lost or ConnectionResetError("the connection was closed"))
            return answer
        now = self._loop.time()
        self._asked.append(_Asked(answer, len(commands), now))
        if self._watchdog is None:
            self._watchdog = self._loop.call_at(now + self._timeout, self._watch)
        self._transport.write(b"".join(map(_packed, commands)))
        return answer

    def leave(self) -> None:
        """Take no more calls, and break it when those under way are answered."""
        self._leaving = True
        if not self._asked:
            self.abort()

    def abort(self, error: BaseException | None = None) -> None:
        """Break the connection; calls under way raise `error`, or that it was closed."""
        self._lost = self._lost or error
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Break it, and return when it is gone."""
        self.abort()
        if self._transport is not None:
            await asyncio.shield(self._closed)

    def _watch(self) -> None:
        self._watchdog = None
        if not self._asked:
            return
        due = self._asked[0].at + self._timeout
        if due <= self._loop.time():
            self.abort(TimeoutError("no answer in time"))
        else:
            self._watchdog = self._loop.call_at(due, self._watch)

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                self._take(reply)
        except hiredis.ProtocolError:
            self.abort(ConnectionResetError("the answer is not in the protocol of Redis"))

    def connection_lost(self, error: Exception | None) -> None:
        lost = self._lost or error or ConnectionResetError("the server closed the connection")
        self._lost = lost
        if self._watchdog is not None:
            self._watchdog.cancel()
        asked, self._asked = self._asked, deque()
        for answer, _, _ in asked:
            if not answer.done():
                answer.set_exception(lost)
        if not self._closed.done():
            self._closed.set_result(None)
        if self.heard is not None:
            self.heard(None)

    def _take(self, reply: Reply) -> None:
        self._first = self._first or reply
        if not self._asked:
            if self.heard is not None:
                self.heard(reply)
            return
        self._replies.append(reply)
        if len(self._replies) == self._asked[0].wanted:
            answer, _, _ = self._asked.popleft()
            replies, self._replies = self._replies, []
            try:
                answer.set_result(replies)
            except asyncio.InvalidStateError:  # its caller was cancelled, maybe by Ctrl-C just now
                pass
            if self._leaving:
                self.leave()


def _packed(command: Command) -> bytes:
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # typed as of one element
    return packed
