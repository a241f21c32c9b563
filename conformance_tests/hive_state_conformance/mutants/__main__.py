"""`python -m hive_state_conformance.mutants URL`: every mutant against every check."""

from __future__ import annotations

import asyncio
import sys

from hive_state_conformance.checking import all_checks
from hive_state_conformance.harness import UrlHarness
from hive_state_conformance.mutants import MUTANTS, MutantHarness
from hive_state_conformance.report import Status
from hive_state_conformance.runner import conform


async def matrix(url: str, timeout: float = 3.0) -> dict[str, list[str]]:
    """Mutant -> the checks that find it out."""
    found = {}
    for name, kind in MUTANTS.items():
        report = await conform(MutantHarness(UrlHarness(url), kind), timeout=timeout)
        found[name] = [result.check.id for result in report.of(Status.FAILED)]
        print(f"{name}: {', '.join(found[name]) or 'SURVIVES'}", flush=True)
    return found


if __name__ == "__main__":
    killers = asyncio.run(matrix(sys.argv[1]))
    every = len(all_checks())  # a mutant that nearly all find out proves nothing of any one of them
    busy = {check for checks in killers.values() if len(checks) < every / 2 for check in checks}
    idle = [check.id for check in all_checks() if check.id not in busy]
    print(f"\n{len(killers)} mutants; {len(idle)} of {every} checks find none: {', '.join(idle)}")
