"""`hive-state conform`: judge a backend from the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hive_state_core.cli.frame import EXIT, Keys, async_command, emit_json, json_option
from hive_state_core.cli.stores import StoreArgument, store_argument
from hive_state_core.spi import TERM_MAX

if TYPE_CHECKING:
    from hive_state_conformance.report import Result


REPORT: Keys = {
    "level": "full, base or none",
    "tiers": "that were run",
    "suite_version": "of the checks",
    "features": "what the backend declares",
    "checks": "by id: passed, failed, refused, known-failure or not-run",
    "failures": "by id: why it failed",
    "reasons": "by id: why it was not run, or is known to fail",
    "seconds": "in all",
    "contracts": "with --list, beside suite_version alone: what each check asks for, by id",
}


@click.command()
@store_argument
@click.option(
    "--select", multiple=True, metavar="PATTERN", help="Only these: an id, its beginning, an area, or a*."
)
@click.option("--list", "list_only", is_flag=True, help="Show the checks, and run none.")
@click.option(
    "--term", type=click.IntRange(2, TERM_MAX - 20), help="Begin in this term, so that versions are large."
)
@json_option(REPORT)
@async_command
async def conform(
    store: StoreArgument, select: tuple[str, ...], list_only: bool, term: int | None, as_json: bool
) -> int:
    """Judge the backend of STORE by the suite.

    Works on a store that is in use: each check writes to a namespace of its own, which is removed
    afterwards. Exits with 3 if a check failed.
    """
    from hive_state_conformance import runner
    from hive_state_conformance.harness import LateHarness, UrlHarness
    from hive_state_conformance.report import Status

    if list_only:
        _list(select, as_json)
        return EXIT.OK
    store = store.or_missing()
    chosen = runner.select_checks(select or None)
    progress = None if as_json else _Progress(len(chosen)).show
    async with store.chosen() as choice:
        harness = UrlHarness(choice) if term is None else LateHarness(UrlHarness(choice), term)
        report = await runner.conform(harness, select=select or None, on_result=progress)
    if as_json:
        emit_json(report.to_dict())
    else:
        click.echo(report.text())
    return EXIT.DIFFERENCES if report.of(Status.FAILED) else EXIT.OK


class _Progress:
    """One line a check on stderr; on a terminal the lines of those that hold are overwritten."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._terminal = sys.stderr.isatty()

    def show(self, result: Result) -> None:
        """Called after each check."""
        self._done += 1
        line = f"[{self._done}/{self._total}] {result.status.value:<8} {result.check.id}"
        if not self._terminal:
            click.echo(line, err=True)
            return
        last = self._done == self._total or not result.holds
        click.echo(f"\r{line[:78]:<78}", err=True, nl=last)


def _list(select: tuple[str, ...], as_json: bool) -> None:
    from hive_state_conformance.checking import SUITE_VERSION
    from hive_state_conformance.runner import select_checks

    checks = select_checks(select or None)
    if as_json:
        listed = {check.id: check.contract for check in checks}
        emit_json({"suite_version": SUITE_VERSION, "contracts": listed})
        return
    for check in checks:
        click.echo(f"{check.area} {check.id:<42} {check.contract}")
