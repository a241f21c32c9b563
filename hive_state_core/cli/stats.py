"""`hive-state stats`: what is in a store, how fast it changes, and what its processes wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hive_state_core.cli import show
from hive_state_core.cli.frame import Keys, async_command, emit_json, json_option
from hive_state_core.cli.live import LiveStore, namespace_option
from hive_state_core.cli.stores import store_argument
from hive_state_core.model import TaskState

if TYPE_CHECKING:
    from hive_state_core.histogram import Latency
    from hive_state_core.stats import LaneStats, StoreStats
    from hive_state_core.store import Store
    from hive_state_core.telemetry import Measured

TOOK = "calls, p50_ms, p95_ms, p99_ms, max_ms"
STATS: Keys = {
    "url": "of the store, without its password",
    "backend": "its name",
    "namespace": "the part of the store",
    "lives_in": "where the hive lives: a configured name, or the URL",
    "at": "the store's time",
    "seconds": "that the rates are told of",
    "records": "how many there are, by collection",
    "queues": {
        "queue": "its name",
        "paused": "whether nothing is claimed from it",
        "states": "how many tasks there are, by state",
        "oldest_ready_s": "for how long the oldest ready task has waited, or null",
        "leases_over": "leases that ended and were not taken away yet",
        "enqueued_per_s": "tasks; null if the queue is new",
        "ended_per_s": "the same",
    },
    "streams": {
        "stream": "its name",
        "events": "how many it has",
        "published_per_s": "null if it is new",
    },
    "groups": {
        "stream": "its name",
        "group": "its name",
        "position": "seq of the last event that it was handed",
        "lag": "events that it was not handed yet",
        "pending": "events that it has out",
        "dead": "events that are not handed out any more",
        "oldest_s": "age of the oldest event that it has not finished, or null",
        "handed_out_per_s": "null if it is new",
    },
    "size_bytes": "of the whole store, or null",
    "facts": "what the backend says of itself, by name",
    "pools": "connections by server: in_use, idle, most, waiting",
    "warnings": "sentences",
    "processes": "those that share what their calls take, host:pid:id; the rest is of them",
    "operations": f"by operation: {TOOK}",
    "agents": f"by agent: {TOOK}",
    "lanes": "by kind of trip: trips, calls, largest, took",
    "errors": "how many calls failed, by code",
}


SLOWEST = 20
"""Agents that are shown to people."""


@click.command()
@store_argument
@namespace_option
@click.option(
    "--watch",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="Go on, and look again every so often; with --json one object a line.",
)
@json_option(STATS)
@async_command
async def stats(store: LiveStore, watch: float | None, as_json: bool) -> None:
    """Count what is in STORE, and how fast it changes.

    Takes a second, to see what changes in it. The latencies are those of the processes that share them
    (`hive.share_stats()`): since they began, or with --watch since the last look.
    """
    async with store.open() as hive:
        await hive.stats()
        before: Measured | None = None
        while True:
            await asyncio.sleep(watch or 1.0)
            found, processes, measured = await _look(hive)
            recent = measured if before is None else measured.since(before)
            told = as_object(hive, found, processes, recent)
            if as_json:
                emit_json(told)
            else:
                if watch is not None:
                    show.clear()
                _tell(told)
            if watch is None:
                return
            before = measured


async def _look(hive: Store) -> tuple[StoreStats, list[str], Measured]:
    """(Counts and rates, the processes that share their latencies, these summed up)."""
    from hive_state_core.telemetry import summed

    found = await hive.stats()
    shared = await hive.shared_stats()
    return found, sorted(shared), summed(shared.values())


def as_object(hive: Store, found: StoreStats, processes: list[str], measured: Measured) -> dict[str, Any]:
    """For JSON, with stable keys."""
    from hive_state_core.stats import store_stats
    from hive_state_core.validate import instant

    told = store_stats(found, measured, found.rates)
    return {
        "url": str(hive.url),
        "backend": hive.backend,
        "namespace": hive.namespace,
        "lives_in": hive.lives_in,
        "at": instant(found.at),
        "seconds": found.rates.seconds if found.rates else None,
        "records": found.records,
        "queues": _queues(found),
        "streams": _streams(found),
        "groups": _groups(found),
        "size_bytes": found.size_bytes,
        "facts": found.backend,
        "pools": found.pools,
        "warnings": found.warnings,
        "processes": processes,
        "operations": told.operations,
        "agents": told.agents,
        "lanes": told.lanes,
        "errors": told.errors,
    }


def _queues(found: StoreStats) -> list[dict[str, Any]]:
    rates = found.rates.queues if found.rates else {}
    return [
        {
            "queue": queue,
            "paused": each.paused,
            "states": {state.value: count for state, count in each.states.items()},
            "oldest_ready_s": _age(each.oldest_ready_at, found.at),
            "leases_over": each.leases_over,
            "enqueued_per_s": rates[queue].enqueued if queue in rates else None,
            "ended_per_s": rates[queue].ended if queue in rates else None,
        }
        for queue, each in sorted(found.queues.items())
    ]


def _streams(found: StoreStats) -> list[dict[str, Any]]:
    rates = found.rates.streams if found.rates else {}
    return [
        {"stream": stream, "events": events, "published_per_s": rates.get(stream)}
        for stream, events in sorted(found.streams.items())
    ]


def _groups(found: StoreStats) -> list[dict[str, Any]]:
    rates = found.rates.groups if found.rates else {}
    return [
        {
            "stream": stream,
            "group": group,
            "position": each.position,
            "lag": each.lag,
            "pending": each.pending,
            "dead": each.dead,
            "oldest_s": _age(each.oldest_at, found.at),
            "handed_out_per_s": rates.get((stream, group)),
        }
        for (stream, group), each in sorted(found.groups.items())
    ]


def _age(since: int | None, at: int) -> float | None:
    return None if since is None else max(0, at - since) / 1000


def _tell(told: Mapping[str, Any]) -> None:
    size = "" if told["size_bytes"] is None else f", {told['size_bytes'] / 1e6:,.1f} MB"
    click.echo(f"{show.text_of(told['url'])}, namespace {show.text_of(told['namespace'])}{size}")
    _tell_counts(told)
    _tell_latencies(told)
    for warning in told["warnings"]:
        click.echo(f"\nwarning: {show.text_of(warning)}")


def _tell_counts(told: Mapping[str, Any]) -> None:
    show.heading("Tasks")
    states = [state for state in TaskState if any(state.value in queue["states"] for queue in told["queues"])]
    rows = [
        (
            queue["queue"],
            *(queue["states"].get(state.value, 0) for state in states),
            *(queue[key] for key in ("oldest_ready_s", "enqueued_per_s", "ended_per_s")),
            "paused" if queue["paused"] else "",
        )
        for queue in told["queues"]
    ]
    headers = ("queue", *(state.value for state in states), "oldest s", "enqueued/s", "ended/s", "")
    show.table(headers, rows, empty="There is no task.")
    if told["streams"]:
        show.heading("Events")
        show.table(("stream", "events", "published/s"), _rows(told["streams"]), empty="")
    if told["groups"]:
        show.heading("Groups")
        headers = ("stream", "group", "position", "lag", "pending", "dead", "oldest s", "handed out/s")
        show.table(headers, _rows(told["groups"]), empty="")
    show.heading("Records")
    show.table(("collection", "records"), sorted(told["records"].items()), empty="There is no record.")


def _rows(objects: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(each.values()) for each in objects]


def _tell_latencies(told: Mapping[str, Any]) -> None:
    if not told["processes"]:
        click.echo("\nNo process shares what its calls take (hive.share_stats()).")
        return
    show.heading(f"Latency, ms, as told by {', '.join(map(show.text_of, told['processes']))}")
    _latencies("operation", told["operations"])
    if told["agents"]:
        slowest = sorted(told["agents"].items(), key=lambda each: each[1].p95_ms, reverse=True)[:SLOWEST]
        show.heading(f"Latency by agent, ms: the slowest of {len(told['agents'])}")
        _latencies("agent", dict(slowest))
    if told["lanes"]:
        show.heading("Trips to the store")
        headers = ("kind", "trips", "calls each", "at most", "p50 ms", "p99 ms")
        show.table(headers, [_trip(*each) for each in told["lanes"].items()], empty="")
    if told["errors"]:
        show.heading("Errors")
        show.table(("code", "calls"), sorted(told["errors"].items()), empty="")


def _trip(kind: str, found: LaneStats) -> tuple[show.Cell, ...]:
    return kind, found.trips, found.calls / found.trips, found.largest, found.took.p50_ms, found.took.p99_ms


def _latencies(name: str, found: Mapping[str, Latency]) -> None:
    rows = [(key, *msgspec.structs.astuple(each)) for key, each in found.items()]
    show.table((name, "calls", "p50", "p95", "p99", "max"), rows, empty="No call was made.")
