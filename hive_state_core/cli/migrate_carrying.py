"""Carrying on with a live migration: copy, send on, compare, and tell now and then how far it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from hive_state_core.cli import migrate_status
from hive_state_core.cli.frame import EXIT
from hive_state_core.cli.migrate_sides import chosen_live
from hive_state_core.cli.migrate_words import tell_checked, tell_status
from hive_state_core.cli.progress import Progress

if TYPE_CHECKING:
    from hive_state_core.migration.checking import Checked
    from hive_state_core.migration.live import Live
    from hive_state_core.migration.phases import Job
    from hive_state_core.migration.working import Worker


@asynccontextmanager
async def _carrying(live: Live, as_json: bool) -> AsyncIterator[tuple[Worker, Progress]]:
    """A worker, and what shows how far it is. Both are at their end afterwards."""
    from hive_state_core.migration.working import Worker

    progress = Progress(silent=as_json)
    worker = Worker(live, progress.tell)
    try:
        yield worker, progress
    finally:
        progress.close()
        await worker.release()


async def work(source: str | None, target: str | None, as_json: bool) -> int:
    """Carry on with the migration that is under way, until Ctrl-C or its end."""
    from hive_state_core.migration.phases import Phase

    async with chosen_live(source, target) as (_, _, live):
        await live.require_job()
        async with _carrying(live, as_json) as (worker, progress):
            await worker.until(
                lambda seen: seen.phase in (Phase.LEGACY, Phase.COMPLETED), partial(_tell_pause, progress)
            )
        await tell_status(live, as_json)
    return EXIT.OK


async def on_to_verified(live: Live, as_json: bool) -> int:
    """Do what is left until all was compared, and tell how it is then. The exit code."""
    from hive_state_core.migration.phases import Phase

    async with _carrying(live, as_json) as (worker, progress):
        progress.expected = sum((await migrate_status.counts(live)).values())
        seen = await worker.until(lambda seen: seen.phase is not Phase.DUAL, partial(_tell_pause, progress))
        progress.close()
        if seen.phase is Phase.COPIED:
            async with worker.beside():
                checked = await compare_all(live, as_json)
            if not checked.clean:
                return tell_checked(checked, as_json)
    await tell_status(live, as_json)
    return EXIT.OK


async def compare_all(live: Live, as_json: bool) -> Checked:
    """`verify`, with its progress."""
    from hive_state_core.migration.judging import verify as compare

    progress = Progress(silent=as_json)
    try:
        return await compare(live, lambda kind, count: progress.tell("compare", kind, count))
    finally:
        progress.close()


def _tell_pause(progress: Progress, job: Job) -> None:
    """Or the command would wait, and nobody knew for what."""
    progress.close()
    click.echo(f"{migrate_status.paused(job.paused_by)}: `hive-state migrate resume` goes on", err=True)
