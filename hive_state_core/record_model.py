"""A record as it was read, and what is told of several."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.model import Index, RecordImage


class Stored:
    """What is kept as a record, as it was read. `value` is the caller's own: changing it changes nothing in
    the store."""

    __slots__ = ("_image", "_value")
    _kind: ClassVar[str] = "record"

    def __init__(self, image: RecordImage) -> None:
        self._image = image
        self._value: tuple[Json] | None = None

    @property
    def value(self) -> Json:
        """Raises CorruptData if the stored bytes cannot be decoded."""
        if self._value is None:
            image = self._image
            self._value = (codec.decode(image.value or b"", image.raw, self._named),)
        return self._value[0]

    def _named(self) -> str:
        return f"{self._kind} {self._image.ref.key!r}"

    @property
    def version(self) -> int:
        """For `if_version=`. Grows with every write, across the whole store; a touch is one."""
        return self._image.version

    @property
    def created_at(self) -> datetime:
        """When it was written, having been absent before."""
        return validate.instant(self._image.created_at)

    @property
    def updated_at(self) -> datetime:
        """When it was last written or touched."""
        return validate.instant(self._image.updated_at)


class Record(Stored):
    """A record as it was read."""

    __slots__ = ()

    @property
    def collection(self) -> str:
        return self._image.ref.collection

    @property
    def key(self) -> str:
        return self._image.ref.key

    @property
    def created_version(self) -> int:
        """The version of the write that made it present."""
        return self._image.created_version

    @property
    def index(self) -> Index:
        return self._image.index

    @property
    def expires_at(self) -> datetime | None:
        return validate.optional_instant(self._image.expires_at)

    def __repr__(self) -> str:
        return f"Record({self.collection!r}, {self.key!r}, version={self.version})"


class Change(msgspec.Struct, frozen=True):
    """The latest of a record that is watched; None: it is absent (deleted or expired, or was never there)."""

    key: str
    record: Record | None


class RecordPage(msgspec.Struct, frozen=True):
    """`cursor`: pass it for the page that follows; None = this was the last."""

    items: list[Record]
    cursor: str | None
