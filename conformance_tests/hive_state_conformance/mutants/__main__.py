"""`python -m hive_state_conformance.mutants URL [PATTERN...]`: every mutant against every check, or some."""

from __future__ import annotations

import asyncio
import sys

from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.mutants import MUTANTS, MutantHarness
from hive_state_conformance.report import Status
from hive_state_conformance.runner import conform, select_checks


async def matrix(url: str, select: list[str] | None, timeout: float = 3.0) -> dict[str, list[str]]:
    """Mutant -> the checks that find it out."""
    found = {}
    for name, kind in MUTANTS.items():
        report = await conform(MutantHarness(UrlHarness(url), kind), select=select, timeout=timeout)
        found[name] = [result.check.id for result in report.of(Status.FAILED)]
        print(f"{name}: {', '.join(found[name]) or 'SURVIVES'}", flush=True)
    return found


if __name__ == "__main__":
    patterns = sys.argv[2:] or None
    killers = asyncio.run(matrix(sys.argv[1], patterns))
    chosen = select_checks(patterns)
    every = len(chosen)  # a mutant that nearly all find out proves nothing of any one of them
    busy = {check for checks in killers.values() if len(checks) < every / 2 for check in checks}
    idle = [check.id for check in chosen if check.id not in busy]
    print(f"\n{len(killers)} mutants; {len(idle)} of {every} checks find none: {', '.join(idle)}")
