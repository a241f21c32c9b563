"""Running checks: each in a fresh namespace, with a time limit, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from uuid import uuid4

from hive_state_conformance.checking import Check, NotRun, Tier, all_checks
from hive_state_conformance.env import Env
from hive_state_conformance.explain import explain
from hive_state_conformance.harness import Harness
from hive_state_conformance.leaks import Traces
from hive_state_conformance.report import Report, Result, Status
from hive_state_conformance.undeclared import refused_as_declared
from hive_state_core.errors import ConfigError

TIMEOUT = 30.0
"""Seconds for one check."""

NAMESPACE = "conformance-"
"""How the namespaces of the suite begin."""


async def conform(
    harness: Harness,
    *,
    select: str | Sequence[str] | None = None,
    tiers: Sequence[Tier] = tuple(Tier),
    known: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    on_result: Callable[[Result], None] | None = None,
) -> Report:
    """Judge a backend.

    select     only these checks: ids, beginnings of ids, area letters, or patterns with * (the others
               count as not run)
    known      failures that are known, id -> reason; a check that passes all the same then fails
    on_result  called after each check that was run

    Raises ConfigError if `select` or `known` names no check, and what opening the store raises.
    """
    started = time.monotonic()
    known = known or {}
    chosen = set(select_checks(select))
    strangers = sorted(set(known) - {check.id for check in all_checks()})
    if strangers:
        raise ConfigError(f"there is no check {strangers[0]!r} that could be a known failure")
    namespace = _namespace()
    env = Env(harness, namespace, await harness.open(namespace))  # whether it can be opened at all
    features = env.store.features
    await env.close()
    results: list[Result] = []
    for check in all_checks():
        if check.tier not in tiers or check not in chosen:
            reason = "not selected" if check.tier in tiers else f"tier {check.tier.value} was not run"
            results.append(Result(check=check, status=Status.NOT_RUN, reason=reason))
            continue
        result = judge(await run_check(check, harness, timeout=timeout), known.get(check.id))
        results.append(result)
        if on_result is not None:
            on_result(result)
    return Report(
        store=harness.name,
        features=features,
        tiers=tuple(tiers),
        results=tuple(results),
        seconds=time.monotonic() - started,
    )


def select_checks(select: str | Sequence[str] | None) -> list[Check]:
    """The checks that any of the patterns names. Raises ConfigError if one names none."""
    if select is None:
        return list(all_checks())
    chosen: list[Check] = []
    for pattern in [select] if isinstance(select, str) else select:
        found = [check for check in all_checks() if _matches(check, pattern)]
        if not found:
            raise ConfigError(f"no check matches {pattern!r}; `--list` shows them all")
        chosen += found
    return chosen


def judge(result: Result, known: str | None) -> Result:
    """The result in the light of a known failure."""
    if known is None or result.status not in (Status.FAILED, Status.PASSED):
        return result
    failed = result.status is Status.FAILED
    return Result(
        check=result.check,
        status=Status.KNOWN if failed else Status.FAILED,
        reason=f"{known} ({result.reason})"
        if failed
        else f"it passes, but is listed as known to fail: {known}",
        seconds=result.seconds,
        error=result.error,
    )


async def run_check(check: Check, harness: Harness, *, timeout: float = TIMEOUT) -> Result:
    """One check, with everything around it."""
    started = time.monotonic()
    traces = Traces()
    status, reason, physics, error = Status.PASSED, "", False, None
    try:
        refused = await _run(check, harness, timeout)
        if refused:
            status, reason = Status.REFUSED, f"{refused} not offered"
    except NotRun as why:
        status, reason, physics = Status.NOT_RUN, str(why), why.physics
    except (Exception, BaseExceptionGroup) as failure:
        status, reason, error = Status.FAILED, explain(failure), failure
    leak = await traces.left_behind()
    if leak is not None:
        reason = f"{reason}; {leak}" if status is Status.FAILED else leak
        status, physics, error = Status.FAILED, False, error or AssertionError(leak)
    seconds = time.monotonic() - started
    return Result(check=check, status=status, reason=reason, physics=physics, seconds=seconds, error=error)


async def _run(check: Check, harness: Harness, timeout: float) -> str:
    """Run it, or what is refused in its place; the names of the facilities that are not offered."""
    limit = asyncio.timeout(timeout)
    env = None
    try:
        async with limit:
            namespace = _namespace()
            env = Env(harness, namespace, await harness.open(namespace))
            lacking = sorted(check.needs - env.store.features.facilities, key=lambda facility: facility.value)
            if lacking:
                await refused_as_declared(env, lacking)
            else:
                await check.run(env)
            return ", ".join(facility.value for facility in lacking)
    except TimeoutError:
        if limit.expired():
            raise AssertionError(f"no end within {timeout:g} s: it hangs, or is too slow") from None
        raise
    finally:
        if env is not None:
            async with asyncio.timeout(timeout):
                await env.close()


def _matches(check: Check, pattern: str) -> bool:
    return (
        pattern == check.area
        or check.id == pattern
        or check.id.startswith(f"{pattern.rstrip('.')}.")
        or fnmatchcase(check.id, pattern)
    )


def _namespace() -> str:
    return f"{NAMESPACE}{uuid4().hex[:16]}"
