"""The page of all contracts: `python -m hive_state_conformance.reference docs/reference/conformance.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from hive_state_conformance.checking import AREAS, SUITE_VERSION, Check, all_checks
from hive_state_conformance.coverage import WITHOUT, checks_by_number

HEAD = """\
# Conformance checks

<!-- Made by `python -m hive_state_conformance.reference`; edit the docstrings of the checks instead. -->

What every backend must do, as the suite checks it. Suite version {version}, {count} checks.

Run them with `hive-state conform URL`, or in pytest through `hive_state_conformance.pytest_plugin`. Each
check runs in a namespace of its own, which is removed afterwards, and fails too if it leaves a task or a
thread behind. A check that needs a facility which the backend does not declare is replaced by its
opposite: the facility must be refused with `Unsupported` before any I/O. Checks marked *race* let many
callers loose at once and then look for an invariant; the others are examples.

The level of a backend is **full** if every check holds, **base** if those of areas A to E do, else
**none**. Checks that the declared features rule out (a second connection where only one process can open
the store) do not count against it, all other checks that were not run do.
"""

COVERAGE = """\
## By number

The suite was written from a numbered list of what a store must do; the first column above is the place in
it (areas R, S and T, which came later, count on their own). Every number of the list has a check, or the
reason why it has none.

| number | checks |
|---|---|
"""


def reference() -> str:
    """The page, as Markdown."""
    checks = all_checks()
    parts = [HEAD.format(version=SUITE_VERSION, count=len(checks))]
    for area, title in AREAS.items():
        rows = "\n".join(_row(check) for check in checks if check.area == area)
        parts.append(f"## {area}. {title}\n\n| | check | contract | needs |\n|---|---|---|---|\n{rows}\n")
    return "\n".join([*parts, _coverage()])


def _coverage() -> str:
    """What is checked by what, and what by nothing."""
    rows = []
    for number, checks in checks_by_number().items():
        if checks:
            rows.append(f"| {number} | {', '.join(f'`{check.id}`' for check in checks)} |")
        else:
            what, why = WITHOUT[number]
            rows.append(f"| {number} | no check. {what[0].upper()}{what[1:]}: {why} |")
    return COVERAGE + "\n".join(rows) + "\n"


def _row(check: Check) -> str:
    needs = ", ".join(sorted(facility.value for facility in check.needs))
    race = " *race*" if check.tier.value == "race" else ""
    contract = check.contract[0].upper() + check.contract[1:]
    return f"| {check.number} | `{check.id}`{race} | {contract} | {needs} |"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m hive_state_conformance.reference FILE")
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
