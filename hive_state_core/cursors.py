"""Opaque cursors for pages: the last key seen, bound to the query they came from."""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from hive_state_core.errors import InvalidArgument
from hive_state_core.spi import Scan


def make_cursor(query: Scan, after: str) -> str:
    """A token of URL-safe characters."""
    return base64.urlsafe_b64encode(_query_hash(query) + after.encode()).decode().rstrip("=")


def open_cursor(cursor: str, query: Scan) -> str:
    """The key to go on after. Raises InvalidArgument for garbage and for a cursor of another query."""
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        after = data[8:].decode()
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidArgument("that is no cursor") from error
    if data[:8] != _query_hash(query) or not after:
        raise InvalidArgument("the cursor belongs to another query, or was cut; start again without one")
    return after


def _query_hash(query: Scan) -> bytes:
    """Of what must stay the same from page to page: all but the limit and the place."""
    same = replace(query, after=None, limit=1, states=None)
    states = sorted(state.value for state in query.states or ())
    return blake2b(msgspec.msgpack.encode((same, states)), digest_size=8).digest()
