"""Where a key stands in a TOML file, for messages. `tomllib` does not tell."""

from __future__ import annotations

import re

_PART = r"""(?:"[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")


def line_of(text: str, *keys: str) -> int | None:
    """The line of the key, or of the last one before it that stands on a line of its own; None = of none.

    line_of(text, "stores", "prod", "url") finds `url =` below `[stores.prod]`, and `stores.prod.url =`.
    """
    lines = _lines(text)
    for length in range(len(keys), 0, -1):
        if keys[:length] in lines:
            return lines[keys[:length]]
    return None


def _lines(text: str) -> dict[tuple[str, ...], int]:
    header: tuple[str, ...] = ()
    found: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if matched := _HEADER.match(line):
            header = _split(matched[1])
            found.setdefault(header, number)
        elif matched := _KEY.match(line):
            found.setdefault(header + _split(matched[1]), number)
    return found


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))
