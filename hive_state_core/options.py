"""The options of a backend: declared once, for URLs, the configuration file, its checks and the docs.

    OPTIONS = (
        Option(name="timeout", type=Type.SECONDS, default=30.0, doc="how long a write waits for others"),
        Option(name="path", type=Type.FILE, part="path", doc="the file; it is made if it is not there"),
    )

A URL gives them as `?timeout=5`, or in the place that URLs have for them (`part`); a table of the
configuration gives each by its name.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Literal

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.url import StoreURL

Value = str | int | float | bool | None
Part = Literal["username", "password", "host", "port", "path"]


class Type(Enum):
    """The value says it in words. SECONDS takes a number, or one with a unit: 500ms, 30s, 5m, 2h, 7d.

    FILE is a path, in a configuration file relative to the folder of that file. STORE is the name of a
    configured store.
    """

    TEXT = "a text"
    NAMES = "names, as a list or with commas between them"
    WHOLE = "a whole number"
    NUMBER = "a number"
    SECONDS = "a number of seconds"
    FLAG = "true or false"
    FILE = "a path"
    STORE = "the name of a configured store"


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """part     its place in a URL; None = only as `?name=value`. The path stands there after its first slash
    doc      what it does, in a few words, for people
    default  None = there is none
    secret   never shown
    least, most  bounds of a number, both included; seconds are always above 0
    choices  the only texts that are taken, in whatever case; the value is in that of the declaration
    """

    name: str
    doc: str
    type: Type = Type.TEXT
    part: Part | None = None
    default: Value = None
    secret: bool = False
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def wants(self) -> str:
        """What it takes, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.least is not None and self.most is not None:
            return f"{self.type.value} from {self.least} to {self.most}"
        return self.type.value + ("" if self.least is None else f", {self.least} or more")

    def parse(self, text: str, label: str) -> Value:
        """The value of a text. Raises ConfigError that names `label`, and quotes no secret."""
        try:
            if self.choices:
                return {choice.lower(): choice for choice in self.choices}[text.lower()]
            return self._within(_PARSERS[self.type](text))
        except (ValueError, KeyError):
            shown = "" if self.secret else f", not {text!r}"
            raise ConfigError(f"{label} is {self.wants}{shown}") from None

    def _within(self, value: Value) -> Value:
        """The value. Raises ValueError if it is a number outside of the bounds."""
        low = self.least is not None and isinstance(value, int | float) and value < self.least
        high = self.most is not None and isinstance(value, int | float) and value > self.most
        if low or high:
            raise ValueError(value)
        return value


def settled(url: StoreURL, options: Sequence[Option]) -> StoreURL:
    """The URL with each option in its place, and with what is secret known to be so.

    Raises ConfigError for an option that is not declared, or comes twice.
    """
    known = {option.name: option for option in options}
    parts: dict[str, Value] = {}
    rest: dict[str, str] = {}
    for name, text in url.options.items():
        option = known.get(name)
        if option is None:
            raise ConfigError(f"{url.scheme}:// has no option {name!r}{suggest(name, known)}")
        if option.part is None:
            rest[name] = text
            continue
        if _part(url, option.part) is not None:
            raise ConfigError(f"{url.scheme}:// is given {name} twice, also as the {option.part} of the URL")
        parts[option.part] = _as_part(option, text, _label(option, url))
    secrets = frozenset(option.name for option in options if option.secret)
    return url.replaced(options=rest, secrets=secrets, **parts)


def values_of(url: StoreURL, options: Sequence[Option]) -> dict[str, Value]:
    """The value of each declared option, its default if the URL is silent. Raises ConfigError."""
    url = settled(url, options)
    found: dict[str, Value] = {}
    for option in options:
        text = given(url, option)
        found[option.name] = option.default if text is None else option.parse(text, _label(option, url))
    return found


def given(url: StoreURL, option: Option) -> str | None:
    """What the settled URL says of the option, None if it is silent."""
    return url.options.get(option.name) if option.part is None else _part(url, option.part)


def rooted(url: StoreURL, options: Sequence[Option], folder: Path) -> StoreURL:
    """The settled URL with paths that start at this folder, not at wherever the program runs."""
    files = [option for option in options if option.type is Type.FILE]
    inner = dict(url.options)
    for option in files:
        if option.part is None and option.name in inner:
            inner[option.name] = os.path.normpath(folder / inner[option.name])
    path = url.path
    if any(option.part == "path" for option in files) and _part(url, "path") is not None:
        path = "/" + os.path.normpath(folder / url.path[1:])
    return url.replaced(options=inner, path=path)


def text_of(value: object, option: Option, label: str) -> str:
    """A value of TOML as a URL would have it. Raises ConfigError if it is of another type."""
    match option.type, value:
        case _, str():
            return value
        case Type.NAMES, list():
            if any(not isinstance(name, str) or "," in name for name in value):
                raise ConfigError(f"{label}: a name is a text without a comma")
            return ",".join(value)
        case Type.FLAG, bool():
            return str(value).lower()
        case Type.WHOLE, int() if not isinstance(value, bool):
            return str(value)
        case Type.SECONDS | Type.NUMBER, int() | float() if not isinstance(value, bool):
            return str(value)
    kind = "a table" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "that"
    raise ConfigError(f"{label} is {option.wants}, not {kind}")


def suggest(word: str, known: Iterable[str]) -> str:
    """How to go on after "there is no WORD": the nearest that there is, or all of them."""
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(names)}" if names else "; there are none"


_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(ms|[smhdw]?)")
_LONGEST = 1e10


def seconds(text: str) -> float:
    """Of a number, or one with a unit. Raises ValueError, also for nothing and for centuries."""
    matched = _DURATION.fullmatch(text)
    found = float(matched[1]) * _UNITS[matched[2]] if matched else 0.0
    if not 0 < found < _LONGEST:
        raise ValueError(text)
    return found


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    found = float(text)
    if not isfinite(found):
        raise ValueError(text)
    return found


def _names(text: str) -> str:
    """The text. Raises ValueError if a name is empty, or comes twice."""
    names = text.split(",")
    if text and (not all(names) or len(set(names)) < len(names)):
        raise ValueError(text)
    return text


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def _text(text: str) -> str:
    return text


_PARSERS: dict[Type, Callable[[str], Value]] = {
    Type.TEXT: _text,
    Type.NAMES: _names,
    Type.NUMBER: _number,
    Type.WHOLE: _whole,
    Type.SECONDS: seconds,
    Type.FLAG: _flag,
    Type.FILE: _text,
    Type.STORE: _text,
}


def _part(url: StoreURL, part: Part) -> str | None:
    """What the URL has there, None for nothing."""
    if part == "path":
        return url.path[1:] or None
    found: object = getattr(url, part)
    return None if found is None else str(found)


def _as_part(option: Option, text: str, label: str) -> Value:
    if option.part == "port":
        return option.parse(text, label)
    return f"/{text}" if option.part == "path" else text


def _label(option: Option, url: StoreURL) -> str:
    return f"option {option.name} of {url.scheme}://"
