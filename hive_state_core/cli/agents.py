"""`hive-state agents`: who is in the hive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hive_state_core.cli import show
from hive_state_core.cli.acting import (
    MORE,
    dangerous,
    first,
    limit_option,
    tell_more,
    value_text,
    values_option,
)
from hive_state_core.cli.frame import Keys, async_command, emit_json, json_option
from hive_state_core.cli.live import LiveStore, live_store
from hive_state_core.errors import NotFound

if TYPE_CHECKING:
    from hive_state_core.agents import Agent


AGENT: Keys = {
    "id": "of the agent",
    "status": "offline if it is silent, else what it said last",
    "last_status": "what it said last",
    "capabilities": "what it can do, a list of names",
    "current_task": "id of a task, or null",
    "context_usage": "as it was told, a number or null",
    "version": "of its record",
    "registered_at": "an instant, in ISO 8601 and UTC, as all instants are",
    "updated_at": "the last change but for heartbeats",
    "seen_at": "the last heartbeat",
    "offline_after_s": "seconds of silence after which it is offline; null: never",
}


@click.group()
def agents() -> None:
    """Look at the agents of a store, and remove them."""


@agents.command("list")
@live_store()
@click.option("--status", metavar="STATUS", help='Only those of this status; "offline" are the silent ones.')
@click.option("--capability", metavar="NAME", help="Only those that have it.")
@limit_option
@json_option({"agents": AGENT, "more": MORE})
@async_command
async def list_(
    store: LiveStore, status: str | None, capability: str | None, limit: int, as_json: bool
) -> None:
    """List agents in the order of their ids."""
    async with store.open() as hive:
        found, more = await first(hive.agents.list(status=status, capability=capability), limit)
    if as_json:
        emit_json({"agents": [agent_object(agent, values=False) for agent in found], "more": more})
        return
    headers = ("agent", "status", "context", "current task", "seen at", "capabilities")
    show.table(headers, [_row(agent) for agent in found], empty="There is no such agent.")
    tell_more(more)


@agents.command("show")
@live_store("ID")
@values_option
@json_option({**AGENT, "metadata": "with --values: what is stored with it"})
@async_command
async def show_(store: LiveStore, id: str, values: bool, as_json: bool) -> None:
    """Show one agent; with --values its metadata too."""
    async with store.open() as hive:
        agent = await hive.agents.get(id)
    if agent is None:
        raise NotFound(f"there is no agent {id!r}")
    found = agent_object(agent, values)
    if as_json:
        emit_json(found)
        return
    if values:
        found["metadata"] = value_text(agent.metadata)
    found["capabilities"] = ", ".join(agent.capabilities)
    show.facts(list(found.items()))


@agents.command()
@live_store("ID")
@dangerous("Remove the agent {id}?")
@json_option({"id": "of the agent", "removed": "true"})
@async_command
async def remove(store: LiveStore, id: str, as_json: bool) -> None:
    """Remove one agent. What it does in other processes goes on."""
    async with store.open() as hive:
        removed = await hive.agents.remove(id)
    if not removed:
        raise NotFound(f"there is no agent {id!r}")
    if as_json:
        emit_json({"id": id, "removed": True})
        return
    click.echo(f"agent {show.text_of(id)} is removed")


def agent_object(agent: Agent, values: bool) -> dict[str, Any]:
    """With stable keys; `metadata` only with `values`."""
    found: dict[str, Any] = {
        "id": agent.id,
        "status": agent.status,
        "last_status": agent.last_status,
        "capabilities": agent.capabilities,
        "current_task": agent.current_task,
        "context_usage": agent.context_usage,
        "version": agent.version,
        "registered_at": agent.registered_at,
        "updated_at": agent.updated_at,
        "seen_at": agent.seen_at,
        "offline_after_s": agent.offline_after.total_seconds() if agent.offline_after else None,
    }
    if values:
        found["metadata"] = agent.metadata
    return found


def _row(agent: Agent) -> tuple[show.Cell, ...]:
    return (
        agent.id,
        agent.status,
        agent.context_usage,
        agent.current_task,
        agent.seen_at,
        ", ".join(agent.capabilities),
    )
