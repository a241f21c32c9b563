"""What a `sqlite://` URL, or a table of the configuration, may say."""

from __future__ import annotations

import os

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.options import Option, Type, values_of
from hive_state_core.url import StoreURL

OPTIONS = (
    Option(
        name="path",
        type=Type.FILE,
        part="path",
        doc="the database file; it is made if it is not there",
    ),
    Option(
        name="synchronous",
        choices=("FULL", "NORMAL"),
        default="FULL",
        doc="FULL: what was acknowledged survives a power cut; NORMAL: only the death of processes",
    ),
    Option(
        name="timeout",
        type=Type.SECONDS,
        default=30.0,
        doc="how long a write waits for other processes before it is given up as Unavailable",
    ),
    Option(
        name="max_page_count",
        type=Type.WHOLE,
        least=1,
        doc="SQLite's limit for the size of the file, in pages of 4096 bytes",
    ),
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The values of `OPTIONS`; `path` is absolute."""

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
    values = values_of(url, OPTIONS)
    path = values.pop("path")
    if not isinstance(path, str) or path.endswith("/") or "\0" in path:
        raise ConfigError("sqlite:// names no file; write sqlite:///hive.db")
    return msgspec.convert({"path": os.path.abspath(path), **values}, Options)
