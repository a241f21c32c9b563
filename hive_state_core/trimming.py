"""Removing the oldest events of a stream, and saying what that would do."""

from __future__ import annotations

from typing import cast

from hive_state_core import validate
from hive_state_core.errors import InvalidArgument
from hive_state_core.limits import SCAN_PAGE, VERSION_MAX
from hive_state_core.model import GroupImage, PendingImage, StreamImage, StreamRef
from hive_state_core.paging import pages
from hive_state_core.spi import Batch, Scan, StreamRead, Trim, Trimmed
from hive_state_core.trips import Trips


async def trim(
    trips: Trips, ref: StreamRef, keep: int | None, first: int | None, force: bool, timeout: float | None
) -> Trimmed:
    """See `Events.trim`. A driver may stop early, so this asks again until that removes nothing."""
    target = await target_of(trips, ref, keep, first, timeout)
    removed = dropped = 0
    while True:
        committed = await trips.commit(Batch((Trim(ref, target, force),)), timeout=timeout)
        step = cast(Trimmed, committed.results[0])
        removed += step.removed
        dropped += step.dropped
        if not step.removed or step.first >= target:
            return Trimmed(removed, dropped, step.first)


async def would_trim(
    trips: Trips, ref: StreamRef, keep: int | None, first: int | None, force: bool, timeout: float | None
) -> Trimmed:
    """What `trim` would answer, as far as nobody is at work meanwhile."""
    target = await target_of(trips, ref, keep, first, timeout)
    (head,) = cast("tuple[StreamImage | None]", await trips.read((ref,), timeout))
    if head is None:
        return Trimmed(0, 0, 1)
    target = max(head.first, min(target, head.last + 1))
    first_unfinished, unfinished = await _unfinished(trips, head, target, timeout)
    if force:
        return Trimmed(target - head.first, unfinished, target)
    return Trimmed(first_unfinished - head.first, 0, first_unfinished)


async def target_of(
    trips: Trips, ref: StreamRef, keep: int | None, first: int | None, timeout: float | None
) -> int:
    """The first seq to keep."""
    if (keep is None) == (first is None):
        raise InvalidArgument("say either how many events to keep or the first one to keep")
    if keep is not None:
        validate.integer(keep, "keep", 0, VERSION_MAX)
        last = (await trips.stream(StreamRead(ref, VERSION_MAX, 1, reverse=True), timeout)).last
        first = max(1, last - keep + 1)
    return validate.integer(first, "first", 1, VERSION_MAX)


async def _unfinished(trips: Trips, head: StreamImage, target: int, timeout: float | None) -> tuple[int, int]:
    """Of the events below the target that some group has pending or dead, or was not handed yet: the first
    seq (the target, if there are none), and how many."""
    handed_to_all = target
    held: set[int] = set()
    groups = Scan(kind="group", within=head.ref.stream, limit=SCAN_PAGE)
    async for image in pages(trips, groups, timeout):
        group = cast(GroupImage, image)
        handed_to_all = min(handed_to_all, max(head.first, group.position + 1))
        if group.pending or group.dead:
            query = Scan(kind="pending", within=head.ref.stream, group=group.ref.group, limit=SCAN_PAGE)
            held.update([cast(PendingImage, each).ref.seq async for each in pages(trips, query, timeout)])
    held = {seq for seq in held if head.first <= seq < handed_to_all}
    return min(held, default=handed_to_all), len(held) + target - handed_to_all
