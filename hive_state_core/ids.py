"""Texts that tasks and agents share: ids, lists of names, the text of an error."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from os import urandom
from time import time_ns

from hive_state_core import validate
from hive_state_core.limits import ERROR_BYTES

AGENTS_COLLECTION = "hive:agents"
"""Where the agents' records are."""


def new_id() -> str:
    """32 hex digits: 12 of the milliseconds since 1970, then 20 random ones.

    Ids of different milliseconds sort in the order in which they were made (as far as the host's clock
    was not set back), those of the same millisecond in any order.
    """
    return f"{time_ns() // 1_000_000:012x}{urandom(10).hex()}"


def derived_id(commit_id: str, position: int) -> str:
    """32 hex digits, always the same for the same place in the unit of that commit id, so that a retry
    of the unit asks for the same thing. Such ids do not sort by time."""
    return blake2b(f"{position}:{commit_id}".encode(), digest_size=16).hexdigest()


def names(given: Iterable[str], what: str) -> list[str]:
    """Validated names."""
    return [validate.name(each, f"one of {what}") for each in validate.several(given, what)]


def error_text(error: object) -> str:
    """The text to keep of a failure: a str, or an exception as `Type: message`. Whatever it holds, it can be
    stored: what is no valid text is replaced, what is too long is cut."""
    try:
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    except Exception:  # its __str__ may do anything
        text = type(error).__name__
    text = text[:ERROR_BYTES].replace("\0", "\ufffd") or "failed"
    return text.encode(errors="replace")[:ERROR_BYTES].decode(errors="ignore")
