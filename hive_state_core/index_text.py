"""Index entries as text, for backends that keep them in columns of text."""

from __future__ import annotations

import msgspec

from hive_state_core.model import Index, Scalar

_dump = msgspec.json.Encoder().encode
_load = msgspec.json.Decoder(list[tuple[str, str]]).decode


def dump_index(index: Index) -> str | None:
    """JSON of pairs of field and `index_text`; None for no entries."""
    if not index:
        return None
    return _dump([[field, index_text(value)] for field, value in index]).decode()


def load_index(text: str) -> Index:
    """What `dump_index` wrote."""
    return tuple((field, index_value(tagged)) for field, tagged in _load(text))


def index_text(value: Scalar) -> str:
    """A text that is equal for values of the same type and value, and for no others."""
    match value:
        case None:
            return "n"
        case bool():
            return f"b{value:d}"
        case int():
            return f"i{value}"
        case float():
            return f"f{value + 0.0!r}"  # -0.0 and 0.0 are one value
        case str():
            return f"s{value}"


def index_value(tagged: str) -> Scalar:
    """What `index_text` made a text of."""
    tag, text = tagged[0], tagged[1:]
    match tag:
        case "n":
            return None
        case "b":
            return text == "1"
        case "i":
            return int(text)
        case "f":
            return float(text)
        case _:
            return text
