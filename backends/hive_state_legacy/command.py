"""`hive-state import-legacy`: bring the original hive's file into a store."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hive_state_core.cli.frame import EXIT, Keys, async_command, emit_json, json_option
from hive_state_core.cli.stores import StoreArgument
from hive_state_legacy.options import QUARANTINE, RULES

if TYPE_CHECKING:
    from hive_state_legacy.report import PoisonRow, Report
    from hive_state_legacy.running import Outcome
    from hive_state_legacy.verify import Verified

Command = TypeVar("Command", bound=Callable[..., Any])

IMPORTED: Keys = {
    "file": "its path",
    "dry_run": "whether nothing was to be written or verified",
    "store": "where it went",
    "timezone": "in which the file's times were taken to be",
    "read": "rows of the file, by table, as the next six",
    "imported": "that are new in the store, or were brought up to date",
    "unchanged": "that the store had",
    "newer": "that the store itself has changed since",
    "waived": "that are left behind",
    "poison": "that are in quarantine",
    "settled": "that a rule has mended",
    "poison_rows": {
        "table": "of the row",
        "rowid": "its number",
        "column": "that is wrong, or empty",
        "reason": "a sentence",
    },
    "verified": "same, different and live rows by table, and which differ (rows); null with --dry-run",
    "warnings": "sentences",
    "seconds": "in all",
    "rows_per_s": "that were read",
}


COUNTS = ("read", "imported", "unchanged", "newer", "waived", "poison", "settled")

SHOWN = 20
"""Rows that are named without --json; all are counted."""


def rule_options(command: Command) -> Command:
    """Adds an option for each rule; the command gets them by their names."""
    for rule in reversed(RULES):
        option = click.option(
            f"--{rule.name.replace('_', '-')}",
            default=QUARANTINE,
            show_default=True,
            type=click.Choice(rule.choices),
            help=f"{rule.doc[0].upper()}{rule.doc[1:]}.",
        )
        command = option(command)
    return command


@click.command("import-legacy")
@click.argument("file")
@click.option("--to", required=True, metavar="STORE", help="The store: a URL, a configured name or a preset.")
@click.option(
    "--timezone", metavar="ZONE", help="Of the file's times, like Europe/Berlin.  [default: the machine's]"
)
@rule_options
@click.option("--waive", multiple=True, metavar="TABLE:ROWID", help="Leave this row behind. May be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("--validate-only", is_flag=True, help="Compare the store with the file, and write nothing.")
@click.option(
    "--batch-size",
    default=500,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Rows in a transaction.",
)
@json_option(IMPORTED)
@async_command
async def import_legacy(
    file: str,
    to: str,
    timezone: str | None,
    waive: tuple[str, ...],
    dry_run: bool,
    validate_only: bool,
    batch_size: int,
    as_json: bool,
    **rules: str,
) -> int:
    """Import FILE, the file of an original hive.

    What came over is verified. The file is copied in a moment and never changed; its hive may run on. Rows
    that cannot be taken go into a quarantine in the store, with all their bytes, until a rule settles them or
    they are waived; while there are some, the command exits with 3. Run again it changes nothing, and goes on
    where it was killed. What the store itself has written since is never replaced.
    """
    from hive_state_legacy.options import make_options
    from hive_state_legacy.running import Plan, run

    if dry_run and validate_only:
        raise click.UsageError("--dry-run and --validate-only exclude one another")
    given = rules if timezone is None else {**rules, "timezone": timezone}
    plan = Plan(
        options=make_options(file, given, waive),
        write=not (dry_run or validate_only),
        verify=not dry_run,
        chunk=batch_size,
    )
    progress = _Progress(silent=as_json)
    async with StoreArgument(to).chosen() as store:
        outcome = await run(plan, store, progress.imported, progress.verified)
    if as_json:
        emit_json({"file": plan.options.path, "dry_run": dry_run, **_as_json(outcome)})
    else:
        _tell(outcome, plan.write)
    return EXIT.OK if outcome.clean else EXIT.DIFFERENCES


class _Progress:
    """A line on stderr every second."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent
        self._next = perf_counter() + 1

    def imported(self, report: Report) -> None:
        if self._due():
            read, poison = sum(report.read.values()), sum(report.poison.values())
            click.echo(f"{read:,} rows read, {poison:,} of them poison", err=True)

    def verified(self, found: Verified) -> None:
        if self._due():
            click.echo(f"{sum(found.same.values()):,} rows verified", err=True)

    def _due(self) -> bool:
        now = perf_counter()
        if self._silent or now < self._next:
            return False
        self._next = now + 1
        return True


def _as_json(outcome: Outcome) -> dict[str, object]:
    report = outcome.report
    return {
        "store": outcome.store,
        "timezone": outcome.timezone,
        **{name: getattr(report, name) for name in COUNTS},
        "poison_rows": [
            {"table": row.table, "rowid": row.rowid, "column": row.column, "reason": row.reason}
            for row in report.poison_rows
        ],
        "verified": outcome.verified,
        "warnings": outcome.warnings,
        "seconds": round(outcome.seconds, 3),
        "rows_per_s": round(sum(report.read.values()) / outcome.seconds),
    }


def _tell(outcome: Outcome, wrote: bool) -> None:
    report = outcome.report
    click.echo(f"{'':<18}" + "".join(f"{name:>11}" for name in COUNTS))
    for table in report.read:
        click.echo(f"{table:<18}" + "".join(f"{getattr(report, name)[table]:>11,}" for name in COUNTS))
    for warning in outcome.warnings:
        click.echo(f"note: {warning}")
    _list("poison", [_poison(row) for row in report.poison_rows], len(report.poison_rows))
    if outcome.verified is not None:
        _tell_verified(outcome, outcome.verified)
    click.echo(f"times are taken to be in {outcome.timezone}; {outcome.seconds:.1f} s")
    if not wrote:
        click.echo("nothing was written")


def _poison(row: PoisonRow) -> str:
    column = f" {row.column}" if row.column else ""
    hint = f" (settled by --{row.rule.replace('_', '-')})" if row.rule else ""
    return f"{row.table}:{row.rowid}{column}: {row.reason}{hint}"


def _tell_verified(outcome: Outcome, found: Verified) -> None:
    lines = [f"{row.table}:{row.rowid} {', '.join(row.fields) or 'not in the store'}" for row in found.rows]
    _list("different", lines, sum(found.different.values()))
    live = sum(found.live.values()) + sum(outcome.report.newer.values())
    passed = f", {live:,} are the store's own by now" if live else ""
    click.echo(f"verified: {sum(found.same.values()):,} rows are the same in {outcome.store}{passed}")


def _list(what: str, lines: list[str], count: int) -> None:
    for line in lines[:SHOWN]:
        click.echo(f"{what}: {line}")
    if count > SHOWN:
        click.echo(f"{what}: and {count - SHOWN:,} more (--json names them)")
