"""Images as they are ordered and compared: the key of each, and a hash that is equal on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b

import msgspec

from hive_state_core.model import (
    CommitImage,
    EventImage,
    GroupImage,
    Image,
    PendingImage,
    QueueImage,
    RecordImage,
    StreamImage,
    TaskImage,
)
from hive_state_core.spi import Digest, Kind

MODULUS = 2**52
"""Sums of hashes stay exact in every language that has only doubles."""

Key = tuple[str | int, ...]

_TYPES: dict[type, Kind] = {
    RecordImage: "record",
    TaskImage: "task",
    QueueImage: "queue",
    EventImage: "event",
    StreamImage: "stream",
    PendingImage: "pending",
    GroupImage: "group",
    CommitImage: "commit",
}

_encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode


def kind_of(image: Image) -> Kind:
    """Raises KeyError for a Gone, which is no image of a kind but of a ref."""
    return _TYPES[type(image)]


def key_of(image: Image) -> Key:
    """The image's place among those of its kind, see `Span`."""
    if isinstance(image, EventImage):
        return image.stream, image.seq
    return msgspec.structs.astuple(image.ref)


def instant_of(image: Image) -> int:
    """The latest instant at which a store's clock gave rise to it; 0 if it does not say."""
    if isinstance(image, RecordImage | TaskImage):
        return image.updated_at
    return image.at if isinstance(image, EventImage | CommitImage) else 0


def sort_key(key: Key) -> tuple[bytes | int, ...]:
    """The order of keys: strings by their UTF-8, numbers by value."""
    return tuple([part.encode() if isinstance(part, str) else part for part in key])


def hash_of(image: Image) -> int:
    """52 bits of the BLAKE2b of all fields. Equal images of two stores have equal hashes."""
    return int.from_bytes(blake2b(_encode(image), digest_size=8).digest(), "big") % MODULUS


def add(one: Digest, other: Digest) -> Digest:
    """That of two ranges together."""
    return Digest(one.count + other.count, (one.sum + other.sum) % MODULUS)


def digest_of(images: Iterable[Image]) -> Digest:
    count = total = 0
    for image in images:
        count += 1
        total += hash_of(image)
    return Digest(count, total % MODULUS)
