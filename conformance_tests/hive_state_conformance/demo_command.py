"""`hive-state demo`: a hive at work, and whether anything was lost or done twice."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hive_state_core.cli.frame import EXIT, Keys, async_command, emit_json, json_option
from hive_state_core.cli.stores import StoreArgument, store_option

if TYPE_CHECKING:
    from hive_state_conformance.demo import Report
    from hive_state_conformance.demo_journey import JourneyReport


REPORT: Keys = {
    "url": "of the store, without its password",
    "workload": "its name and version",
    "agents": "how many worked",
    "seconds": "as measured",
    "operations": "calls that returned",
    "ops_per_s": "of them",
    "tasks_enqueued": "ids that the agents were given",
    "tasks_completed": "tasks that are completed in the store",
    "lost": "of those ids, the ones that are in no state, or were given twice",
    "duplicates": "tasks that were done twice",
    "torn": "tasks that were done by half",
    "stale": "records and reads that are older than was acknowledged",
    "errors": "calls that failed",
    "first_error": "the first of them, or null",
    "latency_ms": "p50, p95, p99, max of read, write and claim",
    "cache_hit_ratio": "of the reads of single records; null without a cache",
    "migration": "with --migrate: phases, max_pause_ms and more, see Demo and bench",
}


@click.command()
@store_option
@click.option("--migrate", is_flag=True, help="Let the hive move to STORE, a preset, and back meanwhile.")
@click.option("--agents", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.05, 3600))
@json_option(REPORT)
@async_command
async def demo(store: StoreArgument, migrate: bool, agents: int, seconds: float, as_json: bool) -> int:
    """Let agents work on a store, then audit it.

    The store is the configured one if none is given, and a new SQLite file if none is configured.

    The agents read, update their records by compare-and-set, enqueue tasks, and finish them in atomic units.
    Nothing is retried. Works on a store that is in use: in a namespace of its own, which is dropped
    afterwards. Exits with 1 if anything was lost, done twice, done by half, or failed.

    With --migrate the agents are in two processes, and begin on a new SQLite file. While they work their hive
    moves to servers that this command starts and ends: by default to PostgreSQL with Valkey in front of it.
    It comes back, and moves again. Exits with 3 if anything was lost, done twice, stale, or different.
    """
    if migrate:
        return await _migrate(store, agents, seconds, as_json)
    from hive_state_conformance.demo import run
    from hive_state_conformance.demo_live import Live

    store = store.or_temporary()
    async with store.chosen() as choice:
        if as_json:
            report = await run(choice, agents, seconds)
        else:
            click.echo(f"{agents} agents for {seconds:g} s on {store.words(choice)}", err=True)
            live = Live()
            report = await run(choice, agents, seconds, live.show, live.every)
    if as_json:
        emit_json(report)
    else:
        _tell(report)
    return EXIT.OK if report.ok else EXIT.FAILED


async def _migrate(store: StoreArgument, agents: int, seconds: float, as_json: bool) -> int:
    from hive_state_conformance.demo_journey import PROCESSES, run
    from hive_state_conformance.demo_journey_live import HEAD, View
    from hive_state_core.cli.presets import AFTER, BEFORE

    view = View(silent=as_json)
    before, after = StoreArgument(BEFORE, embedded=True), StoreArgument(store.store or AFTER, embedded=True)
    view.say(f"starting what {after.store} needs")
    async with before.chosen() as one, after.chosen() as other:
        view.say(f"{agents} agents in {PROCESSES} processes on {before.words(one)}")
        view.say(f"their hive moves to {after.words(other)}")
        view.say(HEAD)
        report = await run(one, other, agents, seconds, view)
    if as_json:
        emit_json(report)
    else:
        _tell_journey(report)
    return EXIT.DIFFERENCES if report.differs else EXIT.OK if report.ok else EXIT.FAILED


def _tell(report: Report) -> None:
    click.echo(f"store       {report.url}")
    click.echo(f"workload    {report.workload}, {report.agents} agents, {report.seconds:.1f} s")
    click.echo(f"operations  {report.operations:,} ({report.ops_per_s:,.0f} a second)")
    click.echo(f"tasks       {report.tasks_enqueued:,} enqueued, {report.tasks_completed:,} completed")
    click.echo("\nlatency, ms       p50       p95       p99       max")
    for kind, found in report.latency_ms.items():
        figures = (found.p50, found.p95, found.p99, found.max)
        click.echo(f"  {kind:<10}" + "".join(f"{figure:10.2f}" for figure in figures))
    if report.cache_hit_ratio is not None:
        click.echo(f"\ncache       {report.cache_hit_ratio:.1%} of the reads of single records were hits")
    click.echo()
    _tell_verdict(report, report.ok)


def _tell_journey(report: JourneyReport) -> None:
    from hive_state_conformance.demo_journey_live import HEAD, row

    found = report.migration
    if not (sys.stdout.isatty() and sys.stderr.isatty()):  # else the steps stand above, as they were done
        click.echo(HEAD)
        for passed in found.phases:
            click.echo(row(passed))
    click.echo(
        f"\nthe longest call during a switch took {found.max_pause_ms:,.0f} ms; between both stores"
        f" {found.differences} differences; {found.stale_reads} stale reads"
    )
    _tell_verdict(report, report.ok and not report.differs)


def _tell_verdict(report: Report, ok: bool) -> None:
    click.echo(
        f"read from the store: {report.lost} lost, {report.duplicates} done twice, {report.torn} torn,"
        f" {report.stale} stale; {report.errors} calls failed"
    )
    if report.first_error:
        click.echo(f"the first that failed: {report.first_error}")
    click.echo("Nothing was lost, and nothing was done twice." if ok else "FAILED")
