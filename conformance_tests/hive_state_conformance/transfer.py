"""Moving a store as plainly as the port allows: what the checks of area R compare with."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hive_state_conformance.env import Env
from hive_state_core.features import Facility
from hive_state_core.images import Key, key_of
from hive_state_core.model import Image, StreamImage, StreamRef
from hive_state_core.spi import KINDS, PEER, Control, ControlState, Kind, Loading, Mark, Replication, Span
from hive_state_core.store import Store

NEEDS = {Facility.REPLICATION}
TASKS = {Facility.REPLICATION, Facility.TASKS}
STREAMS = {Facility.REPLICATION, Facility.STREAMS}


def port(env: Env) -> Replication:
    """That of the check's own store."""
    return env.store.replication()


async def turn(port: Replication, state: ControlState, term: int | None = None) -> Control:
    """Change the state, with the next term unless one is given."""
    row = await port.control()
    change = replace(row, state=state, term=row.term + 1 if term is None else term)
    return await port.control(row.epoch, change)


async def sinks(port: Replication, *names: str) -> Control:
    """Make these the active sinks, and no others."""
    row = await port.control()
    return await port.control(row.epoch, replace(row, sinks=frozenset(names)))


async def standby(env: Env, suffix: str = "-standby") -> Store:
    """Another store, empty, that takes images."""
    store = await env.elsewhere(suffix)
    await turn(store.replication(), ControlState.STANDBY)
    return store


async def images_of(port: Loading, kind: Kind, page: int = 1000) -> list[Image]:
    """All of one kind, page by page."""
    found: list[Image] = []
    after: Key | None = None
    while images := await port.export(Span(kind=kind, after=after, limit=page)):
        found += images
        after = key_of(images[-1])
    return found


async def everything(port: Replication) -> dict[Kind, list[Image]]:
    """All that the store exports."""
    return {kind: await images_of(port, kind) for kind in KINDS}


async def copy(source: Replication, target: Replication) -> None:
    """Everything, by the port alone."""
    for images in (await everything(source)).values():
        await target.load(images)


async def pump(source: Replication, target: Replication, limit: int = 100) -> int:
    """Send what is marked, until no mark is left; how many marks that were."""
    sent = 0
    while marks := await source.marks(PEER, limit):
        await _send(source, target, marks)
        cleared = await source.clear(PEER, marks)
        assert cleared == len(marks), "a mark that nobody changed could not be cleared"
        sent += cleared
    return sent


async def _send(source: Replication, target: Replication, marks: Sequence[Mark]) -> None:
    found = await source.images([mark.ref for mark in marks])
    for mark, image in zip(marks, found, strict=True):
        assert image is not None, f"there is a mark of {mark.ref}, and no image"
        assert image.version == mark.version, f"{mark.ref} is marked at {mark.version}, not {image.version}"
        if isinstance(image, StreamImage):
            await _send_events(source, target, image)
    await target.load([image for image in found if image is not None])


async def _send_events(source: Replication, target: Replication, stream: StreamImage) -> None:
    (there,) = await target.images([StreamRef(stream.ref.stream)])
    last = there.last if isinstance(there, StreamImage) else 0
    name = stream.ref.stream
    span = Span(kind="event", after=(name, last), stop=(name, stream.last + 1))
    while events := await source.export(span):
        await target.load(events)
        span = replace(span, after=key_of(events[-1]))


async def hand_over(source: Replication, target: Replication) -> None:
    """The source is left, the target opens."""
    sealed = await turn(source, ControlState.SEALED)
    await pump(source, target)
    row = await source.control()
    moved = replace(row, state=ControlState.MOVED, peer="the other", sinks=frozenset())
    await source.control(row.epoch, moved)
    await turn(target, ControlState.OPEN, sealed.term)


async def moved(env: Env) -> Store:
    """A store that everything was moved to from the check's own."""
    target = await standby(env, "-moved")
    await copy(port(env), target.replication())
    await hand_over(port(env), target.replication())
    return target
