"""The whole suite in parts, which processes side by side take from each other: in one go it takes minutes."""

from __future__ import annotations

from hive_state_conformance.checking import all_checks
from hive_state_conformance.harness import Harness
from hive_state_conformance.report import Result
from hive_state_conformance.runner import conform

PARTS = range(6)


def ids_of(part: int) -> list[str]:
    """Of all areas some: neighbours take about as long as one another."""
    return [check.id for check in all_checks()][part :: len(PARTS)]


async def not_held(harness: Harness, part: int) -> list[Result]:
    """What of that part keeps the backend from level FULL; it has that level if there is nothing in any."""
    report = await conform(harness, select=ids_of(part))
    return [result for result in report.results if result.check.id in ids_of(part) and not result.holds]
