"""What a `sqlite://` URL may say."""

from __future__ import annotations

import os

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.url import StoreURL

_KNOWN = ("synchronous", "timeout", "max_page_count")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """path            of the database file; it is made if it is not there
    synchronous     FULL (default): an acknowledged write survives a power cut. NORMAL: only kill -9
    timeout         seconds to wait for other processes before a write is given up as Unavailable
    max_page_count  SQLite's limit for the size of the file, in pages of 4096 bytes; None = the disk
    """

    path: str
    synchronous: str = "FULL"
    timeout: float = 30.0
    max_page_count: int | None = None


def parse_options(url: StoreURL) -> Options:
    """sqlite:///relative.db, sqlite:////absolute.db. Raises ConfigError, naming what is wrong."""
    if url.host or url.username is not None:
        raise ConfigError(
            "a SQLite URL has three slashes before a relative path and four before an absolute one:"
            " sqlite:///hive.db, sqlite:////var/lib/hive.db"
        )
    path = url.path[1:]
    if not path or path.endswith("/") or "\0" in path:
        raise ConfigError("the SQLite URL names no file; write sqlite:///hive.db")
    for option in url.options:
        if option not in _KNOWN:
            raise ConfigError(f"unknown option {option!r} of a SQLite URL; there are {', '.join(_KNOWN)}")
    synchronous = url.options.get("synchronous", "FULL").upper()
    if synchronous not in ("FULL", "NORMAL"):
        raise ConfigError("option synchronous of a SQLite URL is FULL or NORMAL")
    pages = _number(url, "max_page_count", None)
    return Options(
        path=os.path.abspath(path),
        synchronous=synchronous,
        timeout=_number(url, "timeout", 30.0) or 30.0,
        max_page_count=None if pages is None else int(pages),
    )


def _number(url: StoreURL, option: str, default: float | None) -> float | None:
    text = url.options.get(option)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise ConfigError(f"option {option} of a SQLite URL is a number above 0")
    return number
