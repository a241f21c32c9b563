"""JSON as Python's json module wrote it, which is a little more than JSON, read without silent changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isinf
from typing import Any

from hive_state_core.codec import Json


class NotJson(ValueError):
    """Says why, without a word of the text."""


def parse(text: str, number: Callable[[str], Json]) -> Json:
    """The value. `number` says what NaN, Infinity, -Infinity and numbers beyond a float (`1e999`) become.

    Raises NotJson, also for an object that has a key twice: all but one of its values would be lost.
    """

    def to_float(digits: str) -> Json:
        value = float(digits)
        return number(digits) if isinf(value) else value

    try:
        return json.loads(text, parse_constant=number, parse_float=to_float, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise NotJson(f"not valid JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise NotJson("nested too deep") from error
    except NotJson:
        raise
    except ValueError as error:  # an int of more digits than Python converts
        raise NotJson("a number has too many digits") from error


def mend(value: Json) -> Json:
    """The value with U+FFFD in place of lone surrogates. Raises NotJson if two keys become one."""
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, list):
        return [mend(item) for item in value]
    if isinstance(value, dict):
        return _object([(mend_text(key), mend(item)) for key, item in value.items()])
    return value


def mend_text(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("an object has a key twice")
    return found
