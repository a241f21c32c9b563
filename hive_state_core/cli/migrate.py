"""`hive-state migrate`: move a hive from one store to another."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

import click

from hive_state_core.cli.frame import EXIT, Keys, async_command, emit_json, json_option
from hive_state_core.cli.migrate_carrying import work
from hive_state_core.cli.migrate_live import LIVE
from hive_state_core.cli.migrate_sides import chosen, known_sides
from hive_state_core.cli.migrate_status import STATUS
from hive_state_core.cli.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hive_state_core.baselines import Bulk
    from hive_state_core.choosing import Choice
    from hive_state_core.migration.report import Report


MOVED: Keys = {
    "result": "moved, copied, compared or different",
    "kinds": "by kind: copied, verified, reread, different, missing, extra",
    "seconds": "in all",
    "phases": "seconds by phase (copy, verify, reread)",
    "rows_per_s": "of the copy",
    "differences": "the first of them, in words",
    "raw_copy_rows_per_s": "with --raw: of a bare copy",
}
DRY_RUN: Keys = {
    "dry_run": "true: with --dry-run, in place of all that",
    "rows": "about how many there are, by kind",
    "steps": "what would be done, in words",
}


@click.group()
def migrate() -> None:
    """Move a hive from one store to another."""


@migrate.command()
@known_sides
@click.option("--offline", is_flag=True, help="Move a hive that is at rest, from --from to --to.")
@click.option("--copy-only", is_flag=True, help="Leave the hive where it is; --to becomes a verified copy.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("--validate-only", is_flag=True, help="Compare the two stores, and write nothing.")
@click.option(
    "--batch-size",
    default=5000,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Rows in a transaction.",
)
@click.option("--raw", is_flag=True, help="Measure a bare copy of the same rows too, where there is one.")
@json_option({**STATUS, **MOVED, **DRY_RUN})
@async_command
async def run(
    source: str | None,
    target: str | None,
    offline: bool,
    copy_only: bool,
    dry_run: bool,
    validate_only: bool,
    batch_size: int,
    raw: bool,
    as_json: bool,
) -> int:
    """Carry on with what `start` began; or move at rest.

    Copies, and sends on what changes, until Ctrl-C or the end of the migration. Any number of processes may
    do so; they take turns.

    With --offline: move a hive that is at rest: seal, copy, verify, hand over. In the end the store --from
    says where the hive is, and can still be read; the store --to has it. Versions, leases, positions of
    groups, TTLs and dedupe keys go over as they are. A run that was killed is gone on with by the same
    command. Exits with 3 if the two stores differ; then the hive stays where it is. The other options are
    for this.
    """
    if not offline:
        if copy_only or dry_run or validate_only or raw:
            raise click.UsageError("--copy-only, --dry-run, --validate-only and --raw need --offline")
        return await work(source, target, as_json)
    if source is None or target is None:
        raise click.UsageError("--offline needs --from and --to")
    if dry_run and validate_only:
        raise click.UsageError("--dry-run and --validate-only exclude one another")
    async with chosen(source, target) as (one, other):
        if dry_run:
            await _say_what(one, other, as_json)
            return EXIT.OK
        return await _at_rest(one, other, copy_only, validate_only, batch_size, raw, as_json)


async def _at_rest(
    one: Choice, other: Choice, copy_only: bool, validate_only: bool, batch: int, raw: bool, as_json: bool
) -> int:
    """Move, copy or compare, and tell how that went."""
    bulk = other.backend.bulk(other.url) if raw and other.backend.bulk else None
    if raw and bulk is None:
        raise click.UsageError(f"--raw: the backend {other.backend.name} has no bare copy")
    progress = Progress(silent=as_json)
    started = perf_counter()
    with _closing(progress):
        if validate_only:
            report = await _compare(one, other, progress)
        else:
            report = await _move(one, other, progress, batch, copy_only)
    seconds = perf_counter() - started
    raw_rate = None
    try:
        if bulk is not None:
            raw_rate = await _measure(one, bulk, batch)
    finally:  # what became of the hive is told also where only the measuring fails
        words = "compared" if validate_only else "copied" if copy_only else "moved"
        _tell(report, seconds, words, raw_rate, as_json)
    return EXIT.OK if report.clean else EXIT.DIFFERENCES


@migrate.command()
@known_sides
@json_option({"cancelled": "whether there was anything to cancel"})
@async_command
async def cancel(source: str | None, target: str | None, as_json: bool) -> None:
    """Give up a move, live or offline.

    The hive lives in the store --from, as before. What was copied is dropped. After a switch, use `rollback`
    first.
    """
    from hive_state_core.migration.opening import cancel as cancel_live
    from hive_state_core.migration.opening import opened

    async with chosen(source, target) as (one, other):
        cancelled = await cancel_live(one, other)
        async with opened(one, other, lambda *_: None) as move:
            cancelled = await move.cancel() or cancelled
    if as_json:
        emit_json({"cancelled": cancelled})
    else:
        click.echo("the hive goes on where it was" if cancelled else "there was nothing to cancel")


@contextmanager
def _closing(progress: Progress) -> Iterator[None]:
    """After an error or Ctrl-C it says how to go on."""
    try:
        yield
    except BaseException:
        progress.close()
        if progress.begun:
            click.echo(
                "hive-state: the store --from is still sealed: the same command goes on,"
                " `hive-state migrate cancel` gives up",
                err=True,
            )
        raise
    progress.close()


async def _move(one: Choice, other: Choice, progress: Progress, batch: int, copy_only: bool) -> Report:
    from hive_state_core.migration.opening import move

    progress.expected = sum((await _counts(one)).values())
    return await move(one, other, progress.tell, batch=batch, copy_only=copy_only)


async def _compare(one: Choice, other: Choice, progress: Progress) -> Report:
    from hive_state_core.migration.opening import opened

    async with opened(one, other, progress.tell) as move:
        await move.compare()
        return move.report


async def _counts(choice: Choice) -> dict[str, int]:
    """Of what the store itself counts: about what there is to copy."""
    from hive_state_core.store import open_store

    async with open_store(choice, janitor=False, follow=False) as hive:
        stats = await hive.stats()
    tasks = sum(sum(queue.states.values()) for queue in stats.queues.values())
    return {"record": sum(stats.records.values()), "task": tasks, "event": sum(stats.streams.values())}


async def _say_what(one: Choice, other: Choice, as_json: bool) -> None:
    """What `run` would do. The stores are opened, and nothing else."""
    from hive_state_core.apart import left_behind
    from hive_state_core.migration.opening import name_of
    from hive_state_core.store import open_store

    counts = await _counts(one)
    schema = await open_store(other).inspect_schema()
    steps = [
        *(each for side in (one, other) for each in left_behind(name_of(side), open_store(side).features)),
        *schema.steps,
        f"seal {name_of(one)}: its writes wait, and are refused after a while",
        f"copy about {sum(counts.values()):,} rows into {name_of(other)}, which has to be empty",
        "verify every row by digests, and once more by reading it",
        f"hand over: {name_of(one)} says where the hive is, {name_of(other)} takes writes",
    ]
    if as_json:
        emit_json({"dry_run": True, "rows": counts, "steps": steps})
        return
    for step in steps:
        click.echo(step)


async def _measure(one: Choice, bulk: Bulk, batch: int) -> float:
    from hive_state_core.migration.raw import measure
    from hive_state_core.store import open_store

    async with open_store(one, janitor=False, follow=False) as source:
        return await measure(source.replication(), bulk, batch)


def _tell(report: Report, seconds: float, words: str, raw_rate: float | None, as_json: bool) -> None:
    rate = report.rows_per_s
    if as_json:
        emit_json(
            {
                "result": words if report.clean else "different",
                "kinds": report.kinds,
                "seconds": seconds,
                "phases": report.seconds,
                "rows_per_s": rate,
                "differences": list(report.first()),
                **({} if raw_rate is None else {"raw_copy_rows_per_s": raw_rate}),
            }
        )
        return
    click.echo(f"{'kind':<8} {'copied':>11} {'verified':>11} {'different':>10} {'missing':>8} {'extra':>6}")
    for kind, counts in report.kinds.items():
        click.echo(
            f"{kind:<8} {counts.copied:>11,} {counts.verified:>11,} {counts.different:>10,}"
            f" {counts.missing:>8,} {counts.extra:>6,}"
        )
    for difference in report.first():
        click.echo(difference)
    end = words if report.clean else "the stores differ, so the hive stays where it is"
    click.echo(f"{end} in {seconds:.1f} s" + (f", {rate:,.0f} rows/s copied" if rate else ""))
    if raw_rate:
        click.echo(f"a bare copy of them: {raw_rate:,.0f} rows/s, so this was {rate / raw_rate:.0%} of it")


for _command in LIVE:
    migrate.add_command(_command)
