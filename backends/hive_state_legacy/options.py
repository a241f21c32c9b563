"""What a `legacy-sqlite://` URL, or the command `import-legacy`, may say of the file and its poison."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.legacy_model import STATES
from hive_state_core.options import Option, Type, Value, values_of
from hive_state_core.url import StoreURL
from hive_state_legacy.tables import TABLES

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

QUARANTINE = "quarantine"
"""As the answer of a rule: leave the row out, and keep its bytes."""

RULES = (
    Option(
        name="nan",
        choices=("null", "string", QUARANTINE),
        default=QUARANTINE,
        doc="what NaN, infinities and numbers beyond a float become: null, or their text",
    ),
    Option(
        name="unknown_status",
        choices=(*STATES, QUARANTINE),
        default=QUARANTINE,
        doc="what to take a task's unknown status for",
    ),
    Option(
        name="bad_time",
        choices=("null", QUARANTINE),
        default=QUARANTINE,
        doc="what a time that cannot be read becomes: null, or 1970 where there must be one",
    ),
    Option(
        name="bad_text",
        choices=("replace", QUARANTINE),
        default=QUARANTINE,
        doc="put U+FFFD in the place of what is no valid Unicode",
    ),
)
OPTIONS = (
    Option(name="path", type=Type.FILE, part="path", doc="the file of an original hive"),
    Option(name="timezone", doc="of the file's times, like Europe/Berlin; by default the machine's"),
    *RULES,
    Option(name="waive", doc="rows to leave behind, like tasks:17,agents:3"),
    Option(
        name="timeout",
        type=Type.SECONDS,
        default=5.0,
        doc="how long to wait for a program that writes to the file",
    ),
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`timezone` None: the machine's own. `rules`: the answer of each, by name. `waived`: (table, rowid) of
    the rows to be left behind."""

    path: str
    timezone: ZoneInfo | None
    rules: dict[str, str]
    waived: frozenset[tuple[str, int]]
    timeout: float


def parse_options(url: StoreURL) -> Options:
    """legacy-sqlite:///relative.db, legacy-sqlite:////absolute.db. Raises ConfigError for what cannot be."""
    if url.host or url.username is not None or len(url.path) < 2:
        raise ConfigError(
            "the URL of an original hive's file has three slashes before a relative path and four before an"
            " absolute one: legacy-sqlite:///state_manager.db"
        )
    values = values_of(url, OPTIONS)
    waived = str(values["waive"] or "")
    return make_options(url.path[1:], values, waived.split(",") if waived else ())


def make_options(path: str, values: Mapping[str, Value], waived: Iterable[str] = ()) -> Options:
    """`values`: the options by name, as parsed; those that are not there have their defaults.

    Raises ConfigError: no such time zone, or no row that could be waived.
    """
    given = {option.name: values.get(option.name) or option.default for option in OPTIONS}
    zone, timeout = given["timezone"], given["timeout"]
    return Options(
        path=os.path.abspath(path),
        timezone=None if zone is None else _zone(str(zone)),
        rules={rule.name: str(given[rule.name]) for rule in RULES},
        waived=frozenset(map(parse_waiver, waived)),
        timeout=float(timeout or 0),
    )


def parse_waiver(text: str) -> tuple[str, int]:
    """`tasks:17`. Raises ConfigError."""
    table, _, rowid = text.strip().rpartition(":")
    if table not in {known.name for known in TABLES} or not re.fullmatch(r"-?[0-9]{1,19}", rowid):
        raise ConfigError(f"a waived row is named TABLE:ROWID, like tasks:17, not {text[:80]!r}")
    return table, int(rowid)


def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"there is no time zone {name!r}; name one like Europe/Berlin or UTC") from error
