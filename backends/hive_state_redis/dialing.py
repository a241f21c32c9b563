"""Connecting: to the server that has the keys, wherever sentinels or the nodes of a cluster say it is."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from binascii import crc_hqx

import hiredis

from hive_state_core.errors import ConfigError, HiveStateError, Unavailable
from hive_state_redis.errors import code_of, connect_error
from hive_state_redis.options import Place, RedisOptions
from hive_state_redis.wire import Command, Reply, Wire

SLOTS = 16384
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""A listener, which sends nothing, would else not notice that the other side is gone."""


class Dialer:
    """Connects for one namespace, each time trying the server first that was found last.

    `tag` is the hash tag of its keys.
    """

    def __init__(self, options: RedisOptions, tag: bytes) -> None:
        self._options = options
        self._slot = crc_hqx(tag, 0) % SLOTS
        self._advisers = list(options.hosts)
        self._found: Place | None = None
        self._tls = _tls_context(options) if options.tls else None

    def forget(self) -> None:
        """The server that was found last may not be the right one any more."""
        self._found = None

    def moved(self, place: Place) -> None:
        """The keys are there now."""
        self._found = place

    def node_in(self, reply: Reply) -> Place:
        """The node that is named by an error such as `MOVED 3999 127.0.0.1:6381`.

        No host is the one of the node that said so.
        """
        host, _, port = str(reply).rpartition(" ")[2].rpartition(":")
        return host or (self._found or self._options.hosts[0])[0], int(port)

    async def dial(self) -> Wire:
        """A connection to the server that has the keys. Raises what `connect_error` makes of it."""
        options = self._options
        if options.layout == "unix":
            return await self._greeted(None)
        if options.layout == "server":
            return await self._greeted(options.hosts[0])
        place = self._found or await self._find()
        try:
            wire = await self._greeted(place)
        except HiveStateError:
            self.forget()
            raise
        self._found = place
        return wire

    async def dial_at(self, place: Place) -> Wire:
        """A connection to this server of a cluster."""
        return await self._greeted(place)

    # -- finding

    async def _find(self) -> Place:
        """Ask the sentinels or nodes in turn; the first that knows, is asked first the next time.

        Those that cannot be reached are passed over. What one refuses, the others would refuse too.
        """
        find = self._ask_sentinel if self._options.layout == "sentinel" else self._ask_node
        last: Unavailable | None = None
        for adviser in list(self._advisers):
            try:
                found = await find(adviser)
            except Unavailable as error:
                last = error
                continue
            self._advisers.sort(key=lambda each: each != adviser)
            return found
        what = "sentinels" if self._options.layout == "sentinel" else "nodes"
        raise Unavailable(f"none of the {what} of {self._options.place} can be used; {last}") from last

    async def _ask_sentinel(self, sentinel: Place) -> Place:
        options = self._options
        login = (options.sentinel_username, options.sentinel_password)
        wire = await self._connected(sentinel, _greeting(*login, db=0))
        master = options.master or ""
        found = await self._asked(wire, sentinel, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master))
        if found is None:
            raise ConfigError(f"the sentinel at {_named(sentinel)} knows no master {master!r}")
        host, port = found
        return host.decode(), int(port)

    async def _ask_node(self, node: Place) -> Place:
        wire = await self._greeted(node)
        owner: Place | None = None
        for first, last, primary, *replicas in await self._asked(wire, node, ("CLUSTER", "SLOTS")):
            places = [(host.decode() or node[0], port) for host, port, *_ in (primary, *replicas) if host]
            self._advisers += [place for place in places if place not in self._advisers]
            if first <= self._slot <= last and places:
                owner = places[0]
        if owner is None:
            raise Unavailable(
                f"no node of {self._options.place} has slot {self._slot}, which the keys are in"
            )
        return owner

    async def _asked(self, wire: Wire, place: Place, command: Command) -> Reply:
        """The answer to one question, after which the connection is closed."""
        try:
            (reply,) = await wire.ask(command)
            if isinstance(reply, hiredis.ReplyError):
                raise reply
            return reply
        except (OSError, hiredis.ReplyError) as error:
            raise connect_error(error, _named(place)) from error
        finally:
            await wire.close()

    # -- connecting

    async def _greeted(self, place: Place | None) -> Wire:
        """A connection to a server with data; None is the one of the unix socket."""
        options = self._options
        greeting = _greeting(options.username, options.password, options.db)
        if options.layout == "sentinel":
            greeting.append(("ROLE",))
        greeting.append(("CLIENT", "SETNAME", options.client_name))
        return await self._connected(place, greeting)

    async def _connected(self, place: Place | None, greeting: list[Command]) -> Wire:
        where = _named(place) if place else self._options.place
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                wire = await self._open(place)
                await _greet(wire, greeting)
        except HiveStateError:
            raise
        except Exception as error:
            raise connect_error(error, where) from error
        return wire

    async def _open(self, place: Place | None) -> Wire:
        loop, timeout = asyncio.get_running_loop(), self._options.command_timeout
        if place is None:
            _, wire = await loop.create_unix_connection(lambda: Wire(timeout), self._options.socket)
            return wire
        transport, wire = await loop.create_connection(lambda: Wire(timeout), *place, ssl=self._tls)
        _keep_alive(transport.get_extra_info("socket"))
        return wire


async def _greet(wire: Wire, greeting: list[Command]) -> None:
    """Raises what the server has against it; the connection is broken then."""
    try:
        for command, reply in zip(greeting, await wire.ask(*greeting), strict=True):
            _check(command, reply)
    except OSError as error:
        raise (wire.refusal or error) from error
    except BaseException:
        wire.abort()
        raise


def _greeting(username: str | None, password: str | None, db: int) -> list[Command]:
    login: Command = ("PING",)
    if password is not None:
        login = ("AUTH", username, password) if username else ("AUTH", password)
    return [login, ("SELECT", db)] if db else [login]


def _check(command: Command, reply: Reply) -> None:
    """Raises the error of a reply; not that of a right which the user need not have."""
    if isinstance(reply, hiredis.ReplyError):
        spared = code_of(reply) == "NOPERM" and command[0] in ("PING", "ROLE")
        if not spared and command[0] != "CLIENT":
            raise reply
    elif command[0] == "ROLE" and reply[0] != b"master":
        raise Unavailable("the sentinels name a server that is no primary yet, or no more; try again")


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _tls_context(options: RedisOptions) -> ssl.SSLContext:
    """Raises ConfigError for a file that cannot be used."""
    for option, path in options.files:
        if not os.access(path, os.R_OK):
            raise ConfigError(f"option {option} of rediss:// names a file that cannot be read: {path}")
    try:
        context = ssl.create_default_context(cafile=options.ssl_ca_certs)
        if options.ssl_certfile:
            secret = options.ssl_password or ""  # not None: OpenSSL would ask at the terminal
            context.load_cert_chain(options.ssl_certfile, options.ssl_keyfile, lambda: secret)
    except ssl.SSLError as error:
        raise ConfigError(
            f"a file of rediss:// is no certificate, or no key that fits ({error.reason or 'unknown reason'})"
        ) from error
    context.check_hostname = options.ssl_check_hostname and options.ssl_cert_reqs == "required"
    if options.ssl_cert_reqs == "none":
        context.verify_mode = ssl.CERT_NONE
    return context


def _named(place: Place) -> str:
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
