"""Calls to a server: over a few connections, each of which carries any number of them at once.

    link = await connect(options, options.tag(namespace))
    value = await link.call("GET", key, reads=True)
    reply = await link.script(PUT, [key], [value])

All that comes back is bytes, int, None, or lists of these.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence

import hiredis

from hive_state_core.errors import Closed, HiveStateError, Unavailable
from hive_state_core.spi import PoolStats
from hive_state_redis.dialing import Dialer
from hive_state_redis.errors import NOT_HERE, call_error, code_of
from hive_state_redis.options import Place, RedisOptions
from hive_state_redis.wire import Command, Reply, Wire

_REDIRECTIONS = 5


class Script:
    """A Lua script, which the server knows by its digest. `reads`: it changes nothing, so may run twice."""

    def __init__(self, source: str, *, reads: bool = False) -> None:
        self.source = source
        self.reads = reads
        self.digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


async def connect(options: RedisOptions, tag: bytes) -> Link:
    """Connected once, so that errors show. `tag` is the hash tag of all the keys that will be used."""
    link = Link(options, Dialer(options, tag))
    await link.open()
    return link


class Link:
    """See the module. All methods are for one event loop.

    A call that only reads is repeated once if its connection breaks; any other raises Indeterminate then.
    A server that refuses a call has done nothing of it. Every error is one of `hive_state_core.errors`, with
    hiredis's or the system's as its cause.
    """

    def __init__(self, options: RedisOptions, dialer: Dialer) -> None:
        self._options = options
        self._dialer = dialer
        self._wires: list[Wire] = []
        self._listeners: set[Wire] = set()
        self._dialing: set[asyncio.Task[Wire]] = set()
        self._open = False

    def stats(self) -> PoolStats:
        busy = sum(1 for wire in self._wires if wire.busy)
        return PoolStats(
            in_use=busy,
            idle=sum(1 for wire in self._wires if wire.usable) - busy,
            most=self._options.max_connections,
            waiting=0,
        )

    async def open(self) -> None:
        self._open = True
        try:
            await self._dial()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Break all connections; calls under way raise."""
        self._open = False
        dialing = list(self._dialing)
        for task in dialing:
            task.cancel()
        await asyncio.gather(*dialing, return_exceptions=True)
        wires = [*self._wires, *self._listeners]
        self._wires.clear()
        await asyncio.gather(*(wire.close() for wire in wires))

    async def call(self, *command: bytes | str | int, reads: bool = False) -> Reply:
        """The reply of one command. `reads`: it changes nothing, so may run twice."""
        (reply,) = await self._ask([command], reads)
        return self._checked(reply)

    async def script(
        self, script: Script, keys: Sequence[bytes], args: Sequence[bytes | str | int] = ()
    ) -> Reply:
        """What the script returns. It is sent to a server that does not know it, as after a fail-over."""
        rest = (len(keys), *keys, *args)
        (reply,) = await self._ask([("EVALSHA", script.digest, *rest)], script.reads)
        if code_of(reply) == "NOSCRIPT":
            (reply,) = await self._ask([("EVAL", script.source, *rest)], script.reads)
        return self._checked(reply)

    async def many(self, commands: Sequence[Command], *, reads: bool = False) -> list[Reply]:
        """The replies of commands that are sent together, and each done for itself.

        Raises the first error once all are answered.
        """
        if not commands:
            return []
        return [self._checked(reply) for reply in await self._ask(commands, reads)]

    async def listen(self, channel: bytes, heard: Callable[[bytes | None], None]) -> Wire:
        """Subscribe, over a connection of its own; `heard` gets each message, and None when it is over.

        Then, or whenever messages may have been lost, the listener should look for itself. `close` the
        connection to end it.
        """
        if not self._open:
            raise Closed("the store is not open")
        wire = await self._dialer.dial()
        self._listeners.add(wire)

        def take(reply: Reply | None) -> None:
            if reply is None:
                self._listeners.discard(wire)
                heard(None)
            elif isinstance(reply, list) and reply[0] == b"message":
                heard(reply[2])

        try:
            (reply,) = await wire.ask(("SUBSCRIBE", channel))
            self._checked(reply)
        except BaseException as error:
            wire.abort()
            self._listeners.discard(wire)
            if isinstance(error, OSError):
                raise call_error(error, self._options.place, reads=True) from error
            raise
        wire.heard = take
        return wire

    # -- asking

    async def _ask(self, commands: Sequence[Command], reads: bool) -> list[Reply]:
        try:
            replies = await self._once(commands)
        except OSError as error:
            if not reads:
                raise call_error(error, self._options.place) from error
            try:
                replies = await self._once(commands)
            except OSError as again:
                raise call_error(again, self._options.place, reads=True) from again
        if self._options.layout == "cluster":
            await self._redirect(commands, replies, reads)
        return replies

    async def _once(self, commands: Sequence[Command]) -> list[Reply]:
        wire = self._idle() or await self._dial()
        try:
            return await wire.ask(*commands)
        except OSError:
            self._forget()
            raise

    async def _redirect(self, commands: Sequence[Command], replies: list[Reply], reads: bool) -> None:
        """Repeat at the right node what the wrong one refused; the new replies take the place of the old."""
        for _ in range(_REDIRECTIONS):
            wrong = [place for place, reply in enumerate(replies) if code_of(reply) in ("MOVED", "ASK")]
            if not wrong:
                return
            said, again = replies[wrong[0]], [commands[place] for place in wrong]
            repeat = self._once_at if code_of(said) == "ASK" else self._once_moved
            try:
                found = await repeat(self._dialer.node_in(said), again)
            except OSError as error:
                raise call_error(error, self._options.place, reads=reads) from error
            for place, reply in zip(wrong, found, strict=True):
                replies[place] = reply
        raise Unavailable(f"the nodes of {self._options.place} do not agree on where the keys are; try again")

    async def _once_moved(self, node: Place, commands: Sequence[Command]) -> list[Reply]:
        self._forget()
        self._dialer.moved(node)
        return await self._once(commands)

    async def _once_at(self, node: Place, commands: Sequence[Command]) -> list[Reply]:
        """At a node that is just being handed the keys, and must be told that we know."""
        wire = await self._dialer.dial_at(node)
        try:
            asking = [part for command in commands for part in (("ASKING",), command)]
            return (await wire.ask(*asking))[1::2]
        finally:
            wire.abort()

    def _checked(self, reply: Reply) -> Reply:
        """The reply. Raises what it means if it is an error."""
        if isinstance(reply, hiredis.ReplyError):
            if code_of(reply) in NOT_HERE:
                self._forget()
            raise self._elsewhere(call_error(reply, self._options.place), reply) from reply
        return reply

    def _elsewhere(self, error: HiveStateError, reply: Reply) -> HiveStateError:
        """Instead of NotPrimary, if there is another server that takes writes."""
        if code_of(reply) == "READONLY" and self._options.layout in ("sentinel", "cluster"):
            place = self._options.place
            return Unavailable(
                f"Redis at {place} takes no writes any more; the next call looks for one that does"
            )
        return error

    # -- connections

    def _idle(self) -> Wire | None:
        """A connection to use: an idle one, or the least busy one if there may be no more; else None."""
        best: Wire | None = None
        for wire in self._wires:
            if wire.usable:
                if not wire.busy:
                    return wire
                if best is None or wire.busy < best.busy:
                    best = wire
        if best is not None and len(self._wires) + len(self._dialing) >= self._options.max_connections:
            return best
        return None

    async def _dial(self) -> Wire:
        """A new connection, or the one that others wait for if no more may be made. It is made to the end
        also if the caller is cancelled: others will use it."""
        if not self._open:
            raise Closed("the store is not open")
        self._wires = [wire for wire in self._wires if wire.alive]
        if len(self._wires) + len(self._dialing) >= self._options.max_connections and self._dialing:
            dialing = next(iter(self._dialing))
        else:
            dialing = asyncio.create_task(self._added())
            self._dialing.add(dialing)
            dialing.add_done_callback(self._dialed)
        try:
            return await asyncio.shield(dialing)
        except HiveStateError as error:  # which others wait for, too
            raise error.copy() from error.__cause__

    async def _added(self) -> Wire:
        wire = await self._dialer.dial()
        self._wires.append(wire)
        return wire

    def _dialed(self, task: asyncio.Task[Wire]) -> None:
        self._dialing.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio complains if nobody looks, as when all callers were cancelled

    def _forget(self) -> None:
        """The server is gone, or another one is the right one."""
        self._dialer.forget()
        for wire in self._wires:
            wire.leave()
