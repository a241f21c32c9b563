"""Which calls are about what a store keeps apart: see `Features.ephemeral`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hive_state_core.errors import InvalidArgument
from hive_state_core.features import Features
from hive_state_core.model import (
    CollectionRef,
    GroupRef,
    PendingRef,
    RecordRef,
    Ref,
    StreamRef,
    Topic,
)
from hive_state_core.refusals import describe
from hive_state_core.spi import Batch, ClaimEvents, ClaimRequest, Driver, Scan


class Apart:
    """`names`: of collections and streams."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def has(self, ref: Ref | Topic) -> bool:
        """Whether it is one of these collections or streams, or in one."""
        if isinstance(ref, RecordRef | CollectionRef):
            return ref.collection in self.names
        return isinstance(ref, StreamRef | GroupRef | PendingRef) and ref.stream in self.names

    def have(self, refs: Sequence[Ref]) -> bool:
        """Whether all of them are. Raises InvalidArgument if only some are: they cannot go together."""
        found = [self.has(ref) for ref in refs]
        if any(found) and not all(found):
            here, there = refs[found.index(True)], refs[found.index(False)]
            raise InvalidArgument(
                f"{describe(here)} is ephemeral: it lives in another store than {describe(there)}, so the two"
                " are not written or read together; use two calls, or two atomic units"
            )
        return any(found)

    def hold(self, batch: Batch) -> bool:
        """As `have`, of all that a batch names."""
        return self.have([each.ref for each in (*batch.checks, *batch.ops)])

    def serve(self, request: ClaimRequest) -> bool:
        return isinstance(request, ClaimEvents) and self.has(request.ref)

    def cover(self, query: Scan) -> bool:
        """Whether a page of these is asked for; that of all streams is not."""
        return query.kind in ("record", "group", "pending") and query.within in self.names

    def without(self, names: Iterable[str]) -> list[str]:
        """Those that are kept with the rest, in order."""
        return sorted(set(names) - self.names)


def apart_of(one: Driver, other: Driver) -> Apart:
    """What does not go from one store into the other: it is ephemeral in either."""
    return Apart(one.features.ephemeral | other.features.ephemeral)


def left_behind(name: str, features: Features) -> list[str]:
    """Sentences for who moves a hive from or to the store of this name."""
    if not features.ephemeral:
        return []
    names = ", ".join(sorted(features.ephemeral))
    return [
        f"{name}: {names} live in its fast store alone: no move carries them, and they begin empty after it"
    ]
