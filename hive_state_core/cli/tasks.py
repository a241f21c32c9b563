"""`hive-state tasks`: look at queues and tasks, and act on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hive_state_core.cli import show
from hive_state_core.cli.acting import (
    MORE,
    Option,
    dangerous,
    first,
    limit_option,
    tell_more,
    value_object,
    value_text,
    values_option,
)
from hive_state_core.cli.frame import Keys, async_command, emit_json, json_option
from hive_state_core.cli.live import LiveStore, live_store
from hive_state_core.errors import Conflict, NotFound
from hive_state_core.model import TaskState

if TYPE_CHECKING:
    from hive_state_core.task_model import Task

TASK: Keys = {
    "id": "of the task",
    "queue": "its name",
    "state": ", ".join(state.value for state in TaskState),
    "priority": "1 is the most urgent",
    "attempt": "how often it was claimed",
    "max_attempts": "how often it may be",
    "worker": "who has its lease, or null",
    "lease_until": "when that ends, or null",
    "cancel_requested": "whether its worker was asked to stop",
    "error": "text of the last failure, or null",
    "dedupe_key": "no other live task has it; or null",
    "requires": "capabilities that a worker needs",
    "depends_on": "ids of tasks",
    "unmet": "how many of them are not completed",
    "created_at": "when it was enqueued",
    "due_at": "not claimed before",
    "finished_at": "when it ended, or null",
}
TASK_VALUES: Keys = {
    "payload": 'with --values; bytes are {"base64": ...}',
    "result": "the same",
}
QUEUE: Keys = {"queue": "its name", "paused": "whether nothing is claimed from it"}
ID = "of the task"


queue_option: Option = click.option("--queue", metavar="NAME", help="Only those of this queue.")
state_option: Option = click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in TaskState]),
    help="Only those in this state; may be given several times.",
)


@click.group()
def tasks() -> None:
    """Look at the tasks of a store, and act on them."""


@tasks.command("list")
@live_store()
@queue_option
@state_option
@click.option("--reverse", is_flag=True, help="The newest first.")
@limit_option
@json_option({"tasks": TASK, "more": MORE})
@async_command
async def list_(
    store: LiveStore, queue: str | None, states: tuple[str, ...], reverse: bool, limit: int, as_json: bool
) -> None:
    """List tasks, roughly in the order of their enqueuing."""
    async with store.open() as hive:
        listed = hive.tasks.list(queue=queue, states=states or None, reverse=reverse)
        found, more = await first(listed, limit)
    if as_json:
        emit_json({"tasks": [task_object(task, values=False) for task in found], "more": more})
        return
    headers = ("task", "queue", "state", "tries", "worker", "due at")
    show.table(headers, [_row(task) for task in found], empty="There is no such task.")
    tell_more(more)


@tasks.command()
@live_store()
@queue_option
@state_option
@json_option({"count": "how many there are"})
@async_command
async def count(store: LiveStore, queue: str | None, states: tuple[str, ...], as_json: bool) -> None:
    """Count tasks."""
    async with store.open() as hive:
        found = await hive.tasks.count(queue=queue, states=states or None)
    emit_json({"count": found}) if as_json else click.echo(f"{found}")


@tasks.command("show")
@live_store("ID")
@values_option
@json_option({**TASK, **TASK_VALUES})
@async_command
async def show_(store: LiveStore, id: str, values: bool, as_json: bool) -> None:
    """Show one task; with --values its payload and its result too."""
    async with store.open() as hive:
        task = await hive.tasks.get(id)
    if task is None:
        raise NotFound(f"there is no task {id!r}")
    found = task_object(task, values)
    if as_json:
        emit_json(found)
        return
    if values:
        found |= {"payload": value_text(task.payload), "result": value_text(task.result)}
    found |= {name: ", ".join(found[name]) for name in ("requires", "depends_on")}
    show.facts(list(found.items()))


@tasks.command()
@live_store("ID")
@dangerous("Cancel the task {id}?")
@json_option({"id": ID, "state": "it is in now; leased: its worker was asked to stop"})
@async_command
async def cancel(store: LiveStore, id: str, as_json: bool) -> None:
    """Cancel one task. A worker that has it is asked to stop, and may complete it all the same."""
    async with store.open() as hive:
        state = await hive.tasks.cancel(id)
    if state is None:
        raise NotFound(f"there is no task {id!r}")
    if as_json:
        emit_json({"id": id, "state": state.value})
    elif state is TaskState.LEASED:
        click.echo(f"task {show.text_of(id)} is leased: its worker was asked to stop")
    else:
        click.echo(f"task {show.text_of(id)} is {state.value}")


@tasks.command()
@live_store("ID")
@json_option({"id": ID, "redriven": "true"})
@async_command
async def redrive(store: LiveStore, id: str, as_json: bool) -> None:
    """Let one dead or cancelled task be tried again.

    Its attempts count anew.
    """
    async with store.open() as hive:
        if not await hive.tasks.redrive(id):
            raise _not_redriven(id, await hive.tasks.get(id))
    emit_json({"id": id, "redriven": True}) if as_json else click.echo(f"task {show.text_of(id)} is redriven")


@tasks.command("redrive-all")
@live_store()
@queue_option
@dangerous("Redrive all dead tasks (queue: {queue})?")
@json_option({"redriven": "how many"})
@async_command
async def redrive_all(store: LiveStore, queue: str | None, as_json: bool) -> None:
    """Redrive all dead tasks, of one queue or of all."""
    async with store.open() as hive:
        done = await hive.tasks.redrive_many(queue)
    emit_json({"redriven": done}) if as_json else click.echo(f"redriven: {done:,}")


@tasks.command()
@live_store("QUEUE")
@json_option(QUEUE)
@async_command
async def pause(store: LiveStore, queue: str, as_json: bool) -> None:
    """Let nothing be claimed from QUEUE until `resume`.

    Leases that are out go on.
    """
    async with store.open() as hive:
        await hive.tasks.pause(queue)
    _tell_paused(queue, True, as_json)


@tasks.command()
@live_store("QUEUE")
@json_option(QUEUE)
@async_command
async def resume(store: LiveStore, queue: str, as_json: bool) -> None:
    """Let QUEUE be claimed from again."""
    async with store.open() as hive:
        await hive.tasks.resume(queue)
    _tell_paused(queue, False, as_json)


def _tell_paused(queue: str, paused: bool, as_json: bool) -> None:
    if as_json:
        emit_json({"queue": queue, "paused": paused})
        return
    click.echo(f"queue {show.text_of(queue)} is {'paused' if paused else 'open'}")


def _not_redriven(id: str, task: Task | None) -> NotFound | Conflict:
    if task is None:
        return NotFound(f"there is no task {id!r}")
    if task.state in (TaskState.DEAD, TaskState.CANCELLED):
        return Conflict(f"task {id!r} was not redriven: another live task has its dedupe key")
    return Conflict(f"task {id!r} is {task.state.value}; only dead and cancelled tasks are redriven")


def task_object(task: Task, values: bool) -> dict[str, Any]:
    """With stable keys; `payload` and `result` only with `values`."""
    found: dict[str, Any] = {
        "id": task.id,
        "queue": task.queue,
        "state": task.state.value,
        "priority": task.priority,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "worker": task.worker,
        "lease_until": task.lease_until,
        "cancel_requested": task.cancel_requested,
        "error": task.error,
        "dedupe_key": task.dedupe_key,
        "requires": task.requires,
        "depends_on": task.depends_on,
        "unmet": task.unmet,
        "created_at": task.created_at,
        "due_at": task.due_at,
        "finished_at": task.finished_at,
    }
    if values:
        found |= {"payload": value_object(task.payload), "result": value_object(task.result)}
    return found


def _row(task: Task) -> tuple[show.Cell, ...]:
    return (
        task.id,
        task.queue,
        task.state.value,
        f"{task.attempt} of {task.max_attempts}",
        task.worker,
        task.due_at,
    )
