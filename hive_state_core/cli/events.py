"""`hive-state events`: look at streams and their groups, and act on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from hive_state_core.cli import show
from hive_state_core.cli.acting import (
    MORE,
    Option,
    dangerous,
    first,
    limit_option,
    tell_more,
    value_object,
    value_text,
    values_option,
)
from hive_state_core.cli.frame import Keys, async_command, emit_json, json_option
from hive_state_core.cli.live import LiveStore, live_store
from hive_state_core.errors import NotFound
from hive_state_core.limits import CLAIM, SCAN_PAGE

if TYPE_CHECKING:
    from hive_state_core.events import Start
    from hive_state_core.pending import PendingEvent
    from hive_state_core.store import Store
    from hive_state_core.subscription import Event


STREAM: Keys = {"stream": "its name"}
GROUP: Keys = {**STREAM, "group": "its name"}
BEFORE_IT = "events that it was not handed yet"
LAG: Keys = {**GROUP, "lag": BEFORE_IT}
PROGRESS: Keys = {
    **GROUP,
    "position": "seq of the last event that it was handed",
    "lag": BEFORE_IT,
    "pending": "events that it has out",
    "dead": "events that are not handed out any more",
}
EVENT: Keys = {
    "seq": "its number in the stream, from 1",
    "at": "when it was published",
    "version": "of that commit",
    "body": 'with --values; bytes are {"base64": ...}',
}
PENDING: Keys = {
    "seq": "of the event",
    "attempt": "how often it was handed out",
    "consumer": "whom it was handed to last",
    "until": "when that lease ends, or it is handed out again; null if it is dead",
    "dead": "whether it is not handed out any more",
    "error": "text of the last failure, or null",
}
DROPPED: Keys = {"dropped": "true"}


@click.group()
def events() -> None:
    """Look at event streams and their groups, and act on them."""


@events.command()
@live_store()
@json_option({"streams": {**STREAM, "events": "how many it has"}})
@async_command
async def streams(store: LiveStore, as_json: bool) -> None:
    """List streams, and how many events each of them has."""
    async with store.open() as hive:
        found = (await hive.stats()).streams
    if as_json:
        emit_json({"streams": [{"stream": name, "events": count} for name, count in sorted(found.items())]})
        return
    show.table(("stream", "events"), sorted(found.items()), empty="There is no stream.")


@events.command()
@live_store()
@click.option("--stream", metavar="NAME", help="Only those of this stream.")
@json_option({"groups": PROGRESS})
@async_command
async def groups(store: LiveStore, stream: str | None, as_json: bool) -> None:
    """List groups, and how far they are."""
    async with store.open() as hive:
        stats = await hive.stats()
    headers = ("stream", "group", "position", "lag", "pending", "dead")
    rows = [
        (name, group, found.position, found.lag, found.pending, found.dead)
        for (name, group), found in sorted(stats.groups.items())
        if stream in (None, name)
    ]
    if as_json:
        emit_json({"groups": [dict(zip(headers, row, strict=True)) for row in rows]})
        return
    show.table(headers, rows, empty="There is no such group.")


@events.command()
@live_store("STREAM")
@click.option("--start", type=click.IntRange(min=1), metavar="SEQ", help="Begin there.  [default: the first]")
@click.option("--reverse", is_flag=True, help="The newest first.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, SCAN_PAGE))
@values_option
@json_option({**STREAM, "events": EVENT})
@async_command
async def read(
    store: LiveStore, stream: str, start: int | None, reverse: bool, limit: int, values: bool, as_json: bool
) -> None:
    """Read events, without any group.

    With --values their bodies too. Go on with --start.
    """
    async with store.open() as hive:
        found = await hive.events.read(stream, start=start, limit=limit, reverse=reverse)
    if as_json:
        emit_json({"stream": stream, "events": [event_object(event, values) for event in found]})
        return
    headers = ("seq", "at", *(["body"] if values else []))
    show.table(headers, [_row(event, values) for event in found], empty="There is no such event.")


@events.command()
@live_store("STREAM", "GROUP")
@json_option(LAG)
@async_command
async def lag(store: LiveStore, stream: str, group: str, as_json: bool) -> None:
    """Tell how many events GROUP was not handed yet."""
    async with store.open() as hive:
        found = await hive.events.lag(stream, group)
    emit_json({"stream": stream, "group": group, "lag": found}) if as_json else click.echo(f"{found}")


@events.command()
@live_store("STREAM")
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the newest N.")
@click.option("--first", "first_kept", type=click.IntRange(min=1), metavar="SEQ", help="Keep from there on.")
@click.option("--force", is_flag=True, help="Remove also what a group has not finished.")
@dangerous("Remove the oldest events of stream {stream}?")
@json_option(
    {
        **STREAM,
        "removed": "how many events",
        "dropped": "how many of them a group had not finished",
        "first": "seq of the first that is left, or of the next to come",
    }
)
@async_command
async def trim(
    store: LiveStore, stream: str, keep: int | None, first_kept: int | None, force: bool, as_json: bool
) -> None:
    """Remove the oldest events. Without --force what a group has not finished stays, and all after it."""
    async with store.open() as hive:
        found = await hive.events.trim(stream, keep=keep, first=first_kept, force=force)
    if as_json:
        emit_json(
            {"stream": stream, "removed": found.removed, "dropped": found.dropped, "first": found.first}
        )
        return
    said = f"removed: {found.removed:,} ({found.dropped:,} of them unfinished)"
    click.echo(f"{said}; the first that is left: {found.first}")


@events.command()
@live_store("STREAM", "GROUP")
@click.option("--to", "start", required=True, metavar="SEQ", help="now, beginning, or the seq of an event.")
@dangerous("Move group {group} of stream {stream} to {start}, and forget what it has out or dead?")
@json_option(LAG)
@async_command
async def seek(store: LiveStore, stream: str, group: str, start: str, as_json: bool) -> None:
    """Let GROUP go on from another event, forward or back."""
    async with store.open() as hive:
        await hive.events.seek(stream, group, _start(start))
        found = await hive.events.lag(stream, group)
    if as_json:
        emit_json({"stream": stream, "group": group, "lag": found})
        return
    click.echo(f"events that group {show.text_of(group)} has before it: {found:,}")


def _start(text: str) -> Start:
    if text in ("now", "beginning"):
        return cast("Start", text)
    if text.isascii() and text.isdigit():
        return int(text)
    raise click.BadParameter("it is now, beginning, or the seq of an event", param_hint="--to")


@events.command()
@live_store("STREAM", "GROUP")
@click.option("--dead", is_flag=True, help="Only those that are not handed out any more.")
@limit_option
@json_option({**GROUP, "pending": PENDING, "more": MORE})
@async_command
async def pending(store: LiveStore, stream: str, group: str, dead: bool, limit: int, as_json: bool) -> None:
    """List what GROUP was handed and has not finished."""
    async with store.open() as hive:
        listed = hive.events.pending(stream, group, dead=True if dead else None)
        found, more = await first(listed, limit)
    if as_json:
        emit_json({"stream": stream, "group": group, "pending": found, "more": more})
        return
    headers = ("seq", "attempt", "consumer", "until", "", "error")
    show.table(headers, [_pending(each) for each in found], empty="There is no such event.")
    tell_more(more)


seq_option: Option = click.option(
    "--seq", "seqs", multiple=True, type=click.IntRange(min=1), help="Of a dead event; may be given often."
)
all_option: Option = click.option("--all", "every", is_flag=True, help="All dead events of the group.")


@events.command()
@live_store("STREAM", "GROUP")
@seq_option
@all_option
@json_option({"redriven": "seqs of the events"})
@async_command
async def redrive(
    store: LiveStore, stream: str, group: str, seqs: tuple[int, ...], every: bool, as_json: bool
) -> None:
    """Hand dead events out again, their deliveries counting anew."""
    async with store.open() as hive:
        chosen = await _dead(hive, stream, group, seqs, every)
        if chosen:
            await hive.events.redrive(stream, group, *chosen)
    _tell_dead("redriven", chosen, as_json)


@events.command()
@live_store("STREAM", "GROUP")
@seq_option
@all_option
@dangerous("Discard dead events of group {group} of stream {stream}?")
@json_option({"discarded": "seqs of the events"})
@async_command
async def discard(
    store: LiveStore, stream: str, group: str, seqs: tuple[int, ...], every: bool, as_json: bool
) -> None:
    """Let GROUP be done with dead events, as if they had been acked."""
    async with store.open() as hive:
        chosen = await _dead(hive, stream, group, seqs, every)
        if chosen:
            await hive.events.discard(stream, group, *chosen)
    _tell_dead("discarded", chosen, as_json)


async def _dead(hive: Store, stream: str, group: str, seqs: tuple[int, ...], every: bool) -> list[int]:
    """Those that are meant: up to `CLAIM` of them at once."""
    if every == bool(seqs):
        raise click.UsageError("say either --all or which, by --seq")
    if not every:
        return list(seqs)
    found, more = await first(hive.events.pending(stream, group, dead=True), CLAIM)
    if more:
        click.echo(f"There are more than {CLAIM:,}; do it again.", err=True)
    return [each.seq for each in found]


def _tell_dead(done: str, seqs: list[int], as_json: bool) -> None:
    emit_json({done: seqs}) if as_json else click.echo(f"{done}: {len(seqs):,}")


@events.command("drop-group")
@live_store("STREAM", "GROUP")
@dangerous("Drop group {group} of stream {stream}?")
@json_option({**GROUP, **DROPPED})
@async_command
async def drop_group(store: LiveStore, stream: str, group: str, as_json: bool) -> None:
    """Remove GROUP, and what it knows of events.

    The events stay.
    """
    async with store.open() as hive:
        if not await hive.events.drop_group(stream, group):
            raise NotFound(f"there is no group {group!r} of stream {stream!r}")
    if as_json:
        emit_json({"stream": stream, "group": group, "dropped": True})
        return
    click.echo(f"group {show.text_of(group)} is dropped")


@events.command()
@live_store("STREAM")
@dangerous("Drop stream {stream}: all its events and groups?")
@json_option({**STREAM, **DROPPED})
@async_command
async def drop(store: LiveStore, stream: str, as_json: bool) -> None:
    """Remove all events and groups of STREAM."""
    async with store.open() as hive:
        if not await hive.events.drop(stream):
            raise NotFound(f"there is no stream {stream!r}")
    if as_json:
        emit_json({"stream": stream, "dropped": True})
        return
    click.echo(f"stream {show.text_of(stream)} is dropped")


def event_object(event: Event, values: bool) -> dict[str, Any]:
    """With stable keys; `body` only with `values`."""
    found: dict[str, Any] = {"seq": event.seq, "at": event.at, "version": event.version}
    return found | {"body": value_object(event.body)} if values else found


def _row(event: Event, values: bool) -> tuple[show.Cell, ...]:
    return (event.seq, event.at, *([value_text(event.body)] if values else []))


def _pending(found: PendingEvent) -> tuple[show.Cell, ...]:
    return found.seq, found.attempt, found.consumer, found.until, "dead" if found.dead else "", found.error
