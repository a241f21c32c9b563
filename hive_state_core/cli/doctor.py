"""`hive-state doctor`: what is wrong with this installation and with a store, and how to mend it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from time import perf_counter, time
from typing import TYPE_CHECKING

import click

from hive_state_core.cli import show
from hive_state_core.cli.frame import EXIT, Keys, async_command, emit_json, json_option, verdict
from hive_state_core.cli.live import LiveStore, namespace_option
from hive_state_core.cli.stores import store_argument
from hive_state_core.cli.surroundings import surroundings
from hive_state_core.features import Sharing
from hive_state_core.spi import Finding

if TYPE_CHECKING:
    from hive_state_core.store import Store

FINDINGS: Keys = {
    "url": "of the store, without its password; null if it cannot be told",
    "ok": "whether nothing is wrong",
    "findings": {
        "name": "of what was looked at",
        "status": "ok, warn or fail",
        "sentence": "for people",
        "mend": "what to do, or null",
        "free": "bytes of room, null where room is not what was looked at",
    },
}


PINGS = 20

SKEW_S = 2.0
"""Seconds that two clocks may differ before it is worth a word."""


@click.command()
@store_argument
@namespace_option
@json_option(FINDINGS)
@async_command
async def doctor(store: LiveStore, as_json: bool) -> int:
    """Examine this installation and STORE.

    Versions, rights, schema, clocks, durability: says what is wrong with them, and how to mend it.
    Exits with 3 if something is wrong; if STORE cannot be used, with the code of that (5: it is unreachable).
    """
    from hive_state_core.errors import HiveStateError

    findings = surroundings()
    code = EXIT.OK
    url = ""
    try:
        async with store.unopened() as hive:
            url = str(hive.url)
            findings.append(_chosen(hive, store.source))
            async for finding in examined(hive):
                findings.append(finding)
    except HiveStateError as error:
        findings.append(Finding(name="store", status="fail", sentence=str(error)))
        code = EXIT(verdict(error).exit)
    if code is EXIT.OK and any(finding.status == "fail" for finding in findings):
        code = EXIT.DIFFERENCES
    if as_json:
        emit_json({"url": url or None, "ok": code is EXIT.OK, "findings": findings})
    else:
        _tell(findings)
    return code


def _chosen(hive: Store, source: str) -> Finding:
    sentence = f"{hive.url}, chosen {source}; backend {hive.backend}, namespace {hive.namespace}"
    return Finding(name="store", status="ok", sentence=sentence)


async def examined(hive: Store) -> AsyncIterator[Finding]:
    """Of a Store that is not open. Raises what hinders its opening."""
    for finding in await hive.examine():
        yield finding
    schema = await hive.inspect_schema()
    if hive.features.sharing is not Sharing.PROCESS:  # which is made anew each time
        yield _schema(schema.found, schema.wanted, schema.steps)
        if schema.found != schema.wanted:
            return
    async with hive:
        yield await _latency(hive)
        sent = time()
        stats = await hive.stats()
        yield _skew(stats.at / 1000, sent, time())
        for warning in stats.warnings:
            yield Finding(name="backend", status="warn", sentence=warning)


def _schema(found: int | None, wanted: int, steps: Sequence[str]) -> Finding:
    if found == wanted:
        return Finding(name="schema", status="ok", sentence=f"version {found}")
    what = "there is none yet" if found is None else f"it has version {found}, this library wants {wanted}"
    if found is not None and found > wanted:
        return Finding(name="schema", status="fail", sentence=what, mend="upgrade hive-state")
    sentence = f"{what} (to do: {'; '.join(steps)})" if steps else what
    return Finding(
        name="schema", status="warn", sentence=sentence, mend="run `hive-state init` with this STORE"
    )


async def _latency(hive: Store) -> Finding:
    took = []
    for _ in range(PINGS):
        sent = perf_counter()
        await hive.records.get("doctor", "ping")
        took.append((perf_counter() - sent) * 1000)
    middle, slow = sorted(took)[PINGS // 2], sorted(took)[PINGS * 95 // 100]
    sentence = f"{PINGS} reads took {middle:.1f} ms (middle) and {slow:.1f} ms (95 %)"
    if middle <= 100:
        return Finding(name="latency", status="ok", sentence=sentence)
    mend = "is the server far away or overloaded? run hive-state nearer to it"
    return Finding(name="latency", status="warn", sentence=sentence, mend=mend)


def _skew(at: float, sent: float, back: float) -> Finding:
    """The store's clock, read between two looks at ours."""
    skew = at - back if at > back else at - sent if at < sent else 0.0
    if abs(skew) <= SKEW_S:
        return Finding(name="clock", status="ok", sentence="the store's clock and this host's agree")
    way = "ahead of" if skew > 0 else "behind"
    sentence = f"the store's clock is {abs(skew):.1f} s {way} this host's"
    mend = "let both follow NTP; leases count by the store's clock, logs by this one"
    return Finding(name="clock", status="warn", sentence=sentence, mend=mend)


def _tell(findings: Sequence[Finding]) -> None:
    show.table(
        ("status", "what", ""), [(each.status, each.name, each.sentence) for each in findings], empty=""
    )
    mends = [each for each in findings if each.status != "ok" and each.mend]
    if mends:
        show.heading("To mend it:")
        for each in mends:
            click.echo(f"- {each.name}: {show.text_of(each.mend)}")
    wrong = sum(each.status == "fail" for each in findings)
    doubtful = sum(each.status == "warn" for each in findings)
    click.echo(f"\n{len(findings)} things looked at: {wrong} wrong, {doubtful} worth a look")
