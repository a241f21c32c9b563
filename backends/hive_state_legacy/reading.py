"""One row, cell by cell: what each column should hold, or the fault that makes the row poison."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from math import isinf
from typing import Any, TypeVar

import msgspec

from hive_state_core import codec
from hive_state_core.codec import Json
from hive_state_core.errors import InvalidArgument
from hive_state_legacy.jsontext import NotJson, mend, parse
from hive_state_legacy.options import QUARANTINE, Options
from hive_state_legacy.snapshot import Text
from hive_state_legacy.tables import Row
from hive_state_legacy.times import EPOCH, Clock

T = TypeVar("T")

_CLASSES: dict[type, str] = {int: "INTEGER", float: "REAL", bytes: "a BLOB", Text: "text"}


class Fault(Exception):
    """Why a row cannot be taken. `rule` is the option that could settle it, if there is one."""

    def __init__(self, column: str, reason: str, rule: str | None = None) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason
        self.rule = rule


class Settled(msgspec.Struct, frozen=True):
    """A fault that a rule settled, `answer` being what the rule says."""

    column: str
    reason: str
    rule: str
    answer: str


class Reading:
    """Every method raises Fault unless the cell is as it should be, or a rule settles it."""

    def __init__(self, row: Row, options: Options, clock: Clock) -> None:
        self.row = row
        self.settled: list[Settled] = []
        self._options = options
        self._clock = clock

    def text(self, column: str) -> str | None:
        """None for NULL, and for a column that the file does not have."""
        cell = self.row.cells.get(column)
        if cell is None:
            return None
        try:
            return self._bytes(cell, column).decode()
        except UnicodeDecodeError:
            self.rule("bad_text", column, "text that is no valid UTF-8")
            return self._bytes(cell, column).decode(errors="replace")

    def key(self, column: str) -> str:
        """A text that must be there; no rule changes it, as others name the row by it."""
        cell = self.row.cells.get(column)
        if cell is None:
            raise Fault(column, "NULL where a key belongs")
        try:
            return self._bytes(cell, column).decode()
        except UnicodeDecodeError as error:
            raise Fault(column, "a key that is no valid UTF-8") from error

    def integer(self, column: str, default: int) -> int:
        cell = self.row.cells.get(column)
        if cell is None:
            return default
        if type(cell) is not int:
            raise Fault(column, f"{_CLASSES[type(cell)]} where an INTEGER belongs")
        return cell

    def number(self, column: str) -> float | int | None:
        cell = self.row.cells.get(column)
        if cell is None or type(cell) is int:
            return cell
        if type(cell) is not float:
            raise Fault(column, f"{_CLASSES[type(cell)]} where a number belongs")
        return self._finite(column, cell)

    def moment(self, column: str) -> datetime | None:
        """Aware; None for NULL, an empty text, and a time that a rule makes null."""
        text = self.row.cells.get(column)
        if not text:
            return None
        try:
            return self._clock.read(self._bytes(text, column).decode())
        except (ValueError, Fault):
            self.rule("bad_time", column, "not an ISO 8601 time")
            return None

    def moment_needed(self, column: str) -> datetime:
        """As `moment`, but a time that is missing is one that cannot be read, and null is 1970."""
        found = self.moment(column)
        if found is None and column in self.row.cells and not self.row.cells[column]:
            self.rule("bad_time", column, "no time where one belongs")
        return EPOCH if found is None else found

    def json(self, column: str, default: Json) -> Json:
        """A value that the codec takes."""
        text = self.text(column)
        if text is None:
            return default
        try:
            value = parse(text, lambda digits: self._no_number(column, digits))
            return self._encodable(column, value)
        except NotJson as error:
            raise Fault(column, str(error)) from error

    def checked(self, column: str, make: Callable[..., T], *given: Any, **named: Any) -> T:
        """What `make` makes of them; its InvalidArgument is a fault of the column."""
        try:
            return make(*given, **named)
        except InvalidArgument as error:
            raise Fault(column, str(error)) from error

    def rule(self, name: str, column: str, reason: str) -> str:
        """What the rule answers to this fault. Raises Fault if that is to put the row into quarantine."""
        answer = self._options.rules[name]
        if answer == QUARANTINE:
            raise Fault(column, reason, name)
        self.settled.append(Settled(column, reason, name, answer))
        return answer

    def _bytes(self, cell: object, column: str) -> bytes:
        if not isinstance(cell, Text):
            raise Fault(column, f"{_CLASSES[type(cell)]} where text belongs")
        return cell

    def _no_number(self, column: str, digits: str) -> str | None:
        return None if self.rule("nan", column, f"{digits[:20]} is no JSON number") == "null" else digits

    def _finite(self, column: str, number: float) -> float | None:
        """A column has no place for the text of an infinity, so null is all that a rule can make of it."""
        if not isinf(number):
            return number
        if self._options.rules["nan"] != "null":
            raise Fault(column, "an infinite number", "nan")
        self.rule("nan", column, "an infinite number")
        return None

    def _encodable(self, column: str, value: Json) -> Json:
        try:
            codec.encode(value)
        except InvalidArgument as error:
            if not isinstance(error.__cause__, UnicodeEncodeError):
                raise Fault(column, str(error)) from error
            self.rule("bad_text", column, "a string with a lone surrogate, which is no valid Unicode")
            return mend(value)
        return value
