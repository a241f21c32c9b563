"""`hive-state bench`: measure stores, and their hand-written competitors."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import click

from hive_state_core.cli.frame import EXIT, async_command, emit_json, json_option
from hive_state_core.cli.stores import StoreArgument, embedded_option
from hive_state_core.errors import Unsupported

if TYPE_CHECKING:
    from hive_state_conformance.bench import Job, Row
    from hive_state_core.choosing import Choice
    from hive_state_core.store import Store

MOST_AGENTS = 10_000
HEAD = ("workload", "agents", "ops/s", "cpu us", "p50 ms", "p95 ms", "p99 ms", "max ms")
RAW_HEAD = ("raw ops/s", "raw cpu us", "ratio", "half within")


def _workloads(ctx: click.Context, option: click.Parameter, text: str | None) -> list[str] | None:
    from hive_state_conformance.workloads import WORKLOADS

    wanted = None if text is None else list(dict.fromkeys(text.split(",")))
    for name in wanted or ():
        if name not in WORKLOADS:
            raise click.BadParameter(f"there is no workload {name!r}; there are {', '.join(WORKLOADS)}")
    return wanted


def _numbers(ctx: click.Context, option: click.Parameter, text: str) -> list[int]:
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if not all(0 < number <= MOST_AGENTS for number in numbers):
        raise click.BadParameter(f"{text!r} is not a number, or a list such as 100,1, of 1 to {MOST_AGENTS}")
    return list(dict.fromkeys(numbers))


@click.command()
@click.argument("stores", metavar="[STORE]...", nargs=-1)
@click.option("--store", "named", multiple=True, metavar="STORE", help="One more STORE.")
@embedded_option
@click.option(
    "--workload",
    "workloads",
    callback=_workloads,
    metavar="LIST",
    help="Some of get,put,cas,enqueue,claim_complete,append,publish_consume; with a cache get_hot,get_cold"
    " in place of get.  [default: all there can be]",
)
@click.option(
    "--agents",
    default="100",
    show_default=True,
    callback=_numbers,
    metavar="LIST",
    help="Concurrent agents in this process; several numbers are measured one after the other.",
)
@click.option(
    "--seconds",
    default=3.0,
    show_default=True,
    type=click.FloatRange(0.05, 3600),
    help="For each workload and side.",
)
@click.option("--raw", is_flag=True, help="Measure, in turns, the same work written by hand.")
@json_option(
    {
        "rows": "one for each workload, see Demo and bench",
        "environment": "what the figures depend on: cores, platform, versions, settings of each side",
    }
)
@async_command
async def bench(
    stores: tuple[str, ...],
    named: tuple[str, ...],
    embedded: bool,
    workloads: list[str] | None,
    agents: list[int],
    seconds: float,
    raw: bool,
    as_json: bool,
) -> int:
    """Measure each STORE.

    That is rate, CPU and latency of each workload. Works on a store that is in use: in a namespace of its
    own, which is dropped afterwards. Each workload ends in an invariant that is read from the store; exits
    with 3 if one does not hold.
    """
    from hive_state_conformance.bench import Job, environment, measure

    about: dict[str, object] = {}
    rows: list[Row] = []
    table = None if as_json else _Table(raw)
    async with _chosen([*stores, *named] or [None], embedded) as choices:
        for job in _jobs(Job, choices, workloads, agents, seconds, raw):
            if table is not None:
                table.announce(job)
            rows.append(await measure(job, about))
            if table is not None:
                table.show(rows[-1])
    if as_json:
        emit_json({"rows": rows, "environment": environment(about)})
    return EXIT.OK if all(row.invariant == "ok" for row in rows) else EXIT.DIFFERENCES


@asynccontextmanager
async def _chosen(stores: Sequence[str | None], embedded: bool) -> AsyncIterator[list[Choice]]:
    async with AsyncExitStack() as exits:
        arguments = [StoreArgument(store, embedded).or_missing() for store in stores]
        yield [await exits.enter_async_context(argument.chosen()) for argument in arguments]


def _jobs(
    make: type[Job],
    stores: Sequence[Choice],
    workloads: list[str] | None,
    agents: list[int],
    seconds: float,
    raw: bool,
) -> list[Job]:
    """All of them. Raises, before anything is measured, ConfigError for a URL that cannot be used, and
    Unsupported for a workload that was asked for by name and that a store does not offer."""
    from hive_state_core.store import open_store

    offered = [(store, _offered(open_store(store), workloads)) for store in stores]
    return [
        make(store=store, workload=workload, agents=number, seconds=seconds, raw=raw)
        for store, names in offered
        for number in agents
        for workload in names
    ]


def _offered(store: Store, wanted: list[str] | None) -> list[str]:
    from hive_state_conformance.harness import driver_of
    from hive_state_conformance.workloads import WORKLOADS
    from hive_state_core.following import current
    from hive_state_core.spi import Caching

    cached = isinstance(current(driver_of(store)), Caching)
    lacking: dict[str, list[str]] = {}
    for name, kind in WORKLOADS.items():
        lacking[name] = [facility.value for facility in kind.needs - store.features.facilities]
        if kind.cached is not None and kind.cached != cached:
            lacking[name].append("cache" if kind.cached else "reading without a cache")
    if wanted is None:
        return [name for name, lacks in lacking.items() if not lacks]
    for name in wanted:
        for feature in lacking[name]:
            message = f"the workload {name} needs {feature}, which this store does not offer"
            raise Unsupported(message, feature=feature)
    return wanted


class _Table:
    """Rows as they come, on stdout; what is being measured, on stderr if that is a terminal."""

    def __init__(self, raw: bool) -> None:
        self._raw = raw
        self._store = ""
        self._terminal = sys.stderr.isatty()

    def announce(self, job: Job) -> None:
        if self._terminal:
            click.echo(f"{job.workload}, {job.agents} agents ...\r", nl=False, err=True)

    def show(self, row: Row) -> None:
        if self._terminal:
            click.echo("\x1b[K", nl=False, err=True)
        if row.url != self._store:
            click.echo(f"{row.url}\n{_line([*HEAD, *(RAW_HEAD if self._raw else ())])}")
            self._store = row.url
        click.echo(_line(_cells(row, self._raw)) + ("" if row.invariant == "ok" else "  BROKEN"))
        if row.invariant != "ok":
            click.echo(f"  {row.invariant}")


def _cells(row: Row, raw: bool) -> list[str]:
    cells = [row.workload, str(row.agents), f"{row.ops_per_s:,.0f}", f"{row.cpu_us:,.1f}"]
    cells += [f"{value:,.2f}" for value in (row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms)]
    if raw:
        cells += [
            "-" if not isinstance(value, float) else f"{value:{form}}"
            for value, form in ((row.raw_ops_per_s, ",.0f"), (row.raw_cpu_us, ",.1f"), (row.ratio, ".2f"))
        ]
        ends = (row.ratio_low, row.ratio_high)
        cells.append("-".join([f"{end:.2f}" for end in ends if isinstance(end, float)]) or "-")
    return cells


def _line(cells: Sequence[str]) -> str:
    """Aligned to the right, but for the first cell."""
    return f"{cells[0]:<16}" + "".join(f"{cell:>12}" for cell in cells[1:])
