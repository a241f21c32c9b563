"""A whole import: the file, the store, the rows from one to the other, and the proof."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import msgspec

from hive_state_core.choosing import Choice
from hive_state_core.errors import SchemaMismatch
from hive_state_core.store import Store, open_store
from hive_state_legacy.expected import Expecting
from hive_state_legacy.importing import Import, decisions_of
from hive_state_legacy.options import Options
from hive_state_legacy.reader import Reader
from hive_state_legacy.report import Report
from hive_state_legacy.verify import Verified, Verifier


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`verified` None: a dry run. `warnings` are whole sentences."""

    store: str
    timezone: str
    report: Report
    verified: Verified | None
    warnings: list[str]
    seconds: float

    @property
    def clean(self) -> bool:
        """No poison, no difference."""
        return not self.report.poison_rows and (self.verified is None or self.verified.clean)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: rows are written if `write`, and compared if `verify`; `chunk` rows in a transaction."""

    options: Options
    write: bool = True
    verify: bool = True
    chunk: int = 500


async def run(
    plan: Plan,
    store: str | Choice,
    imported: Callable[[Report], None],
    verified: Callable[[Verified], None],
) -> Outcome:
    """Carry out the plan on the store (as for `open_store`), calling back on the way.

    Raises what the file, the store and their options may raise; what was imported until then stays.
    """
    started = perf_counter()
    hive = open_store(store)
    async with Reader(plan.options) as reader:
        if await _is_there(hive, plan):
            async with hive:
                reader.source.decisions = await decisions_of(hive)
                work = Import(reader, hive.loading(), chunk=plan.chunk, write=plan.write)
                report = await work.run(imported)
                found = await _verifier(reader, hive, report, verified).run() if plan.verify else None
        else:
            report, found = await Import(reader, None, chunk=plan.chunk, write=False).run(imported), None
        return Outcome(
            store=str(hive.url),
            timezone=reader.source.clock.name,
            report=report,
            verified=found,
            warnings=[*reader.source.warnings(), *_strangers(plan.options, report)],
            seconds=perf_counter() - started,
        )


async def _is_there(hive: Store, plan: Plan) -> bool:
    """Whether the store has a schema; it gets one if something is to be written.

    Raises SchemaMismatch if there is none, and the file was to be compared with it.
    """
    if plan.write:
        await hive.upgrade_schema()
        return True
    info = await hive.inspect_schema()
    if info.found is None and plan.verify:
        raise SchemaMismatch(
            f"{hive.url} is no hive-state store yet, so there is nothing to compare",
            found=None,
            expected=info.wanted,
        )
    return info.found is not None


def _verifier(reader: Reader, hive: Store, report: Report, progress: Callable[[Verified], None]) -> Verifier:
    options = reader.source.options
    expecting = Expecting(options.rules, options.timezone)
    return Verifier(reader.source.snapshot.copy, hive, expecting, report.left_out, progress)


def _strangers(options: Options, report: Report) -> list[str]:
    """Waived rows that were not met."""
    missing = sorted(options.waived - report.left_out)
    return [f"the waived row {table}:{rowid} is not in the file" for table, rowid in missing]
