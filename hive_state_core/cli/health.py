"""`hive-state health`: whether a store deserves a look, and what about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hive_state_core.cli import show
from hive_state_core.cli.frame import EXIT, Keys, async_command, emit_json, json_option, verdict
from hive_state_core.cli.live import LiveStore, existing, namespace_option
from hive_state_core.cli.stores import store_argument

if TYPE_CHECKING:
    from hive_state_core.health import Health, Thresholds
    from hive_state_core.spi import CacheStats


HEALTH: Keys = {
    "url": "of the store, without its password",
    "backend": "its name",
    "namespace": "the part of the store",
    "lives_in": "where the hive lives: a configured name, or the URL; null if it could not be asked",
    "status": "ok, warn or fail: the worst of the checks",
    "at": "the store's time; null if it could not be asked",
    "checks": {
        "name": "of the check",
        "subject": "the queue, group or server, or null",
        "status": "ok, warn or fail",
        "value": "in the unit that the name says, or null",
        "threshold": "the same",
        "sentence": "for people",
    },
    "pools": "connections by server: in_use, idle, most, waiting",
    "memory": "bytes by server: used, most (null: no bound)",
    "cache": "null without one; else connected, asked, hits, hit_ratio (null: nothing was asked)",
    "error": "code of the error if the store cannot be asked, else null",
}


@click.command()
@store_argument
@namespace_option
@click.option("--latency", default=0.1, show_default=True, metavar="SECONDS", help="Of a read.")
@click.option("--backlog", default=1000, show_default=True, help="Ready tasks of a queue.")
@click.option("--age", default=300.0, show_default=True, metavar="SECONDS", help="Of the oldest of them.")
@click.option("--lag", default=1000, show_default=True, help="Events that a group was not handed yet.")
@click.option(
    "--hit-ratio", type=float, metavar="SHARE", help="Of the reads of a cache. [default: the store's]"
)
@click.option("--memory", default=0.8, show_default=True, metavar="SHARE", help="Of what a server may use.")
@click.option("--timeout", default=5.0, show_default=True, metavar="SECONDS", help="For each question.")
@json_option(HEALTH)
@async_command
async def health(store: LiveStore, as_json: bool, timeout: float, **limits: Any) -> int:
    """Tell whether STORE deserves a look.

    Is it reachable and quick, do queues and groups pile up? The options are the thresholds. Exits with 3 if
    something is above its own; if the store cannot be asked, with the code of that (5: it is unreachable).
    """
    from hive_state_core.health import Thresholds

    found = await _asked(store, Thresholds(**limits), timeout)
    if as_json:
        emit_json(as_object(found))
    else:
        _tell(found)
    if found.error is not None:
        return verdict(found.error).exit
    return EXIT.OK if found.status == "ok" else EXIT.DIFFERENCES


async def _asked(store: LiveStore, limits: Thresholds, timeout: float) -> Health:
    """The health, also of a store that cannot be opened."""
    from hive_state_core.errors import ConfigError, HiveStateError
    from hive_state_core.health import unreachable

    async with store.unopened() as hive:
        try:
            await existing(hive)
            async with hive:
                return await hive.health(limits, timeout=timeout)
        except ConfigError:
            raise
        except HiveStateError as error:
            return unreachable(hive.backend, str(hive.url), hive.namespace, error)


def as_object(found: Health) -> dict[str, Any]:
    """For JSON, with stable keys."""
    return {
        "url": found.url,
        "backend": found.backend,
        "namespace": found.namespace,
        "lives_in": found.lives_in,
        "status": found.status,
        "at": found.at,
        "checks": [
            {
                "name": check.name,
                "subject": check.subject,
                "status": check.status,
                "value": check.value,
                "threshold": check.threshold,
                "sentence": check.sentence,
            }
            for check in found.checks
        ],
        "pools": {} if found.stats is None else found.stats.pools,
        "memory": {} if found.stats is None else found.stats.memory,
        "cache": None if found.stats is None else _cache(found.stats.cache),
        "error": None if found.error is None else found.error.code,
    }


def _cache(found: CacheStats | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "connected": found.connected,
        "asked": found.asked,
        "hits": found.hits,
        "hit_ratio": found.hit_ratio,
    }


def _tell(found: Health) -> None:
    rows = [(check.status, check.name, check.subject or "", check.sentence) for check in found.checks]
    show.table(("status", "check", "of", ""), rows, empty="")
    elsewhere = "" if found.lives_in in (None, found.url) else f" (the hive lives in {found.lives_in})"
    click.echo(f"\n{show.text_of(found.url + elsewhere)} is {_WORDS[found.status]}")


_WORDS = {"ok": "well", "warn": "worth a look", "fail": "failing"}
