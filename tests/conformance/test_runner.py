"""Running checks: what becomes of those that fail, hang, leak, or are not offered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hive_state_conformance.checking import Check, NotRun, Tier, all_checks, check
from hive_state_conformance.env import Env, raises
from hive_state_conformance.harness import Harness, UrlHarness, driver_of
from hive_state_conformance.mutants import MUTANTS, Mutant, MutantHarness
from hive_state_conformance.report import Level, Report, Result, Status
from hive_state_conformance.runner import conform, run_check, select_checks
from hive_state_core.errors import ConfigError, Conflict, Unavailable
from hive_state_core.features import Facility, Features
from hive_state_core.store import Store

MEMORY = UrlHarness("memory://")
STALE = "cas.stale_refused"
STRAY: list[asyncio.Task[None]] = []
STOP = threading.Event()


def made(run: Callable[[Env], Awaitable[None]], *needs: Facility) -> Check:
    """A check that is not on the list."""
    return Check(
        id="x.y",
        area="A",
        number=1,
        tier=Tier.SEMANTIC,
        needs=frozenset(needs),
        contract="it works.",
        run=run,
    )


async def hang(env: Env) -> None:
    await asyncio.Event().wait()


async def not_here(env: Env) -> None:
    raise NotRun("no second machine")


async def leave_a_task(env: Env) -> None:
    STRAY.append(asyncio.create_task(asyncio.sleep(30)))


async def leave_a_thread(env: Env) -> None:
    threading.Thread(target=STOP.wait, args=(30,), name="stray").start()


async def write(env: Env) -> None:
    await env.store.records.put("c", "k", 1)


async def test_failed_check_says_what_was_compared(tmp_path: Path) -> None:
    plain = tmp_path / "plain.py"  # its assertions are not rewritten by pytest
    plain.write_text("async def fail(env):\n    found = [1, 2]\n    assert found == [1]\n")
    space: dict[str, Any] = {}
    exec(compile(plain.read_text(), plain, "exec"), space)
    result = await run_check(made(space["fail"]), MEMORY)
    assert (result.status, result.reason) == (Status.FAILED, "assert found == [1]  where found = [1, 2]")
    assert isinstance(result.error, AssertionError)


async def test_hanging_check_fails_after_its_time() -> None:
    result = await run_check(made(hang), MEMORY, timeout=0.05)
    assert (result.status, result.reason) == (Status.FAILED, "no end within 0.05 s: it hangs, or is too slow")


async def test_not_run_keeps_its_reason() -> None:
    result = await run_check(made(not_here), MEMORY)
    assert (result.status, result.reason, result.holds) == (Status.NOT_RUN, "no second machine", False)


async def test_stray_task_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hive_state_conformance.leaks.GRACE", 0.05)
    result = await run_check(made(leave_a_task), MEMORY)
    STRAY.pop().cancel()
    assert result.status is Status.FAILED
    assert "left behind after close: task" in result.reason


async def test_stray_thread_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hive_state_conformance.leaks.GRACE", 0.05)
    result = await run_check(made(leave_a_thread), MEMORY)
    STOP.set()
    assert result.status is Status.FAILED
    assert "thread stray" in result.reason


class Unreachable(Harness):
    async def open(self, namespace: str) -> Store:
        raise Unavailable("nobody there")


async def test_store_that_cannot_be_opened_is_an_error_of_the_run() -> None:
    assert (await run_check(made(write), Unreachable())).status is Status.FAILED
    with pytest.raises(Unavailable):
        await conform(Unreachable())


async def test_what_a_check_wrote_is_dropped() -> None:
    harness = UrlHarness("memory://runner-drops")
    seen: list[str] = []

    async def remember(env: Env) -> None:
        seen.append(env.namespace)
        await write(env)

    assert (await run_check(made(remember), harness)).status is Status.PASSED
    async with harness.connect(seen[0]) as store:
        assert await store.records.count("c") == 0


class Remembering(UrlHarness):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.namespaces: set[str] = set()

    def connect(self, namespace: str) -> Store:
        self.namespaces.add(namespace)
        return super().connect(namespace)


@pytest.mark.parametrize("url", ["memory://runner-leaves-nothing", "sqlite:///{}/hive.db"])
async def test_nothing_is_left_of_any_namespace(url: str, tmp_path: Path) -> None:
    harness = Remembering(url.format(tmp_path))
    assert not (await conform(harness, select=["A", "I", "M", "O"])).failures
    for namespace in list(harness.namespaces):
        async with UrlHarness(harness.store).connect(namespace) as store:
            stats = await store.stats()
            assert (stats.records, stats.queues) == ({}, {}), namespace


class Less(Mutant):
    """Declares no tasks."""

    @property
    def features(self) -> Features:
        return replace(self.right.features, facilities=frozenset())


async def test_undeclared_is_refused_and_holds() -> None:
    report = await conform(MutantHarness(MEMORY, Less), select=["queue", "A", "B", "C", "D", "E"])
    queue = [result for result in report.results if result.check.id.startswith("queue.")]
    assert {result.status for result in queue} == {Status.REFUSED}
    assert not report.failures
    assert report.level is Level.BASE


async def test_undeclared_but_accepted_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hive_state_core.trips.Trips.require", lambda *_: None)
    result = await run_check(made(write, Facility.TASKS), MutantHarness(MEMORY, Less))
    assert result.status is Status.FAILED


async def judged(kind: type[Mutant], known: dict[str, str] | None = None) -> Result:
    report: Report = await conform(MutantHarness(MEMORY, kind), select=STALE, known=known)
    (result,) = [result for result in report.results if result.check.id == STALE]
    assert report.level is Level.NONE
    return result


async def test_known_failures() -> None:
    wrong = MUTANTS["IgnoresVersionChecks"]
    assert (await judged(wrong)).status is Status.FAILED
    known = await judged(wrong, {STALE: "issue 12"})
    assert known.status is Status.KNOWN
    assert known.reason.startswith("issue 12 (")
    surprise = await judged(Mutant, {STALE: "issue 12"})
    assert surprise.status is Status.FAILED
    assert "issue 12" in surprise.reason


async def test_names_that_name_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="no check"):
        await conform(MEMORY, known={"no.such.check": "x"})
    with pytest.raises(ConfigError, match="no check matches"):
        await conform(MEMORY, select="no.such")


def test_selection() -> None:
    assert [chosen.id for chosen in select_checks(STALE)] == [STALE]
    assert {chosen.area for chosen in select_checks("F")} == {"F"}
    assert {chosen.id.split(".")[0] for chosen in select_checks("queue")} == {"queue"}
    assert all("race" in chosen.id for chosen in select_checks("*race*"))
    assert len(select_checks(None)) == len(all_checks())


def test_a_check_needs_a_contract_and_an_id_of_its_own() -> None:
    async def without(env: Env) -> None:
        """Does something."""

    async def taken(env: Env) -> None:
        """Contract: something."""

    with pytest.raises(ValueError, match="Contract"):
        check("new.one", area="A", number=1)(without)
    with pytest.raises(ValueError, match="two checks"):
        check(STALE, area="A", number=1)(taken)


async def test_raises_tells_what_came_instead() -> None:
    async def answer() -> int:
        return 7

    async def other() -> None:
        raise KeyError("k")

    with pytest.raises(AssertionError, match="the answer was 7"):
        await raises(Conflict, answer())
    with pytest.raises(AssertionError, match="KeyError"):
        await raises(Conflict, other())


async def test_driver_of_is_what_the_store_was_made_of() -> None:
    assert isinstance(driver_of(MutantHarness(MEMORY, Mutant).connect("n")), Mutant)
