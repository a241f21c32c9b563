"""What is in force, and where each value comes from; without the secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from hive_state_core.choosing import DEFAULT, Choice
from hive_state_core.config import FOREVER, shown
from hive_state_core.config_file import SETTING
from hive_state_core.options import Value, given, values_of
from hive_state_core.references import is_reference
from hive_state_core.retention import COUNTS, Retention

HIDDEN = "***"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """`source`: a place in the file (hive-state.toml:7), the name of a variable, argument, or default.

    The value of a secret is `***`; durations are in seconds. What is never removed is kept "forever".
    """

    key: str
    value: Value
    source: str


def settings_of(choice: Choice) -> list[Setting]:
    """Of the store that was chosen, and what holds for any store of the configuration."""
    return [*_general(choice), *_options(choice), *_retention(choice)]


def _general(choice: Choice) -> Iterator[Setting]:
    config = choice.config
    by = SETTING if os.environ.get(SETTING) else "the nearest one, upward from here"
    yield Setting(
        key="file",
        value=shown(config.path) if config.path else None,
        source=by if config.path else "there is none",
    )
    yield Setting(key="store", value=choice.name or str(choice.url), source=choice.source)
    yield Setting(
        key="namespace",
        value=config.namespace or "default",
        source=config.where("namespace") if config.namespace else DEFAULT,
    )


def _options(choice: Choice) -> Iterator[Setting]:
    prefix = "" if choice.name is None else f"stores.{choice.name}."
    values = values_of(choice.url, choice.backend.options)
    yield Setting(key=f"{prefix}backend", value=choice.backend.name, source=_place(choice, "backend"))
    for option in choice.backend.options:
        said = given(choice.url, option) is not None
        yield Setting(
            key=f"{prefix}{option.name}",
            value=HIDDEN if said and option.secret else values[option.name],
            source=_place(choice, option.name) if said else DEFAULT,
        )


def _place(choice: Choice, key: str) -> str:
    """Where a key of the store was given: by itself, or in the URL."""
    if choice.name is None:
        return choice.source
    table = choice.config.table(choice.name)
    used = key if key in table else "url"
    text, where = table[used], choice.config.where("stores", choice.name, used)
    return f"{text} in {where}" if isinstance(text, str) and is_reference(text) else where


def _retention(choice: Choice) -> Iterator[Setting]:
    config = choice.config
    for kind in Retention.__struct_fields__:
        kept: int | None = getattr(config.retention, kind)
        yield Setting(
            key=f"retention.{kind}",
            value=FOREVER if kept is None else kept if kind in COUNTS else kept / 1000,
            source=config.where("retention", kind) if kind in config.kept else DEFAULT,
        )
