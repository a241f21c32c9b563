"""Area M, continued: what is cancelled, closed, forgotten or used from the wrong place harms nobody."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import warnings
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from hive_state_conformance.checking import NotRun, Tier, check
from hive_state_conformance.checks.cancellation import TURNS, cancelled_after
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import PATIENCE, Env, raises, settled, together
from hive_state_conformance.harness import driver_of
from hive_state_core.errors import (
    Closed,
    HiveStateError,
    Indeterminate,
    InvalidArgument,
    LeaseLost,
    Unavailable,
)
from hive_state_core.features import Facility
from hive_state_core.store import Store

STREAMS, TASKS = {Facility.STREAMS}, {Facility.TASKS}


@check("cancel.publish_is_whole_or_absent", area="M", number=138, needs=STREAMS)
async def publish_is_whole_or_absent(env: Env) -> None:
    """Contract: publish_many that is cancelled at any point publishes all or nothing, and leaves no gap."""
    events = env.store.events
    total = 0
    for n in TURNS:
        made = await cancelled_after(n, events.publish_many("s", [n, n, n]))
        await events.publish("s", -1)
        found = await events.read("s", start=total + 1)
        bodies = [event.body for event in found]
        assert bodies in ([n, n, n, -1], [-1]), f"cancelled after {n} turns: {bodies}"
        assert made is None or len(bodies) == 4
        assert [event.seq for event in found] == list(range(total + 1, total + 1 + len(found)))
        total += len(found)


@check("cancel.delivery_is_given_back", area="M", number=140, needs=STREAMS)
async def delivery_is_given_back(env: Env) -> None:
    """Contract: events of a cancelled claim are not stuck until their lease ends, and lost no delivery."""
    events = env.store.events
    await events.create_group("s", "g", max_deliveries=1)
    await events.publish_many("s", list(TURNS))
    kept: list[int] = []
    for n in TURNS:
        given = await cancelled_after(n, events.claim("s", "g", lease=3600))
        kept += [delivery.seq for delivery in given or ()]
    got: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(got) + len(kept) < len(TURNS):
            again = await events.claim("s", "g", lease=3600, limit=100)
            assert {delivery.attempt for delivery in again} <= {1}
            got += [delivery.seq for delivery in again]
            await asyncio.sleep(0.005)
    assert sorted(got + kept) == list(range(1, len(TURNS) + 1))


@check("cancel.ack_is_whole_or_absent", area="M", number=138, needs=STREAMS)
async def ack_is_whole_or_absent(env: Env) -> None:
    """Contract: an ack of several deliveries that is cancelled at any point acks all of them or none."""
    events = env.store.events
    await events.create_group("s", "g")
    for n in TURNS:
        await events.publish_many("s", [1, 2, 3])
        given = await events.claim("s", "g", limit=3)
        await cancelled_after(n, events.ack(*given))
        left = [each.seq async for each in events.pending("s", "g")]
        assert left in ([], [delivery.seq for delivery in given]), f"half acked, cancelled after {n} turns"
        if left:
            try:
                await events.ack(*given)
            except LeaseLost:  # the cancelled one came through after all
                assert [each async for each in events.pending("s", "g")] == []


@check("cancel.reads_of_all_kinds", area="M", number=138)
async def reads_of_all_kinds(env: Env) -> None:
    """Contract: after reads, scans, counts and stats were cancelled at any point, the next calls get their
    own answers.
    """
    records = env.store.records
    await records.put_many("c", {f"{n:02}": n for n in range(20)})

    async def listed() -> list[str]:
        return [record.key async for record in records.list("c")]

    for n in TURNS:
        await cancelled_after(n, records.get_many("c", ["01", "02"]))
        await cancelled_after(n, listed())
        await cancelled_after(n, env.store.stats())
        await cancelled_after(n, env.store.sweep())
        assert await listed() == [f"{n:02}" for n in range(20)]
        assert await records.count("c") == 20
        assert (await env.store.stats()).records == {"c": 20}


@check("call.timeout_is_honest", area="M", number=142)
async def timeout_is_honest(env: Env) -> None:
    """Contract: a call that ran out of time says Unavailable if it was not done and never will be, and
    Indeterminate if it may have been.
    """
    records = env.store.records
    for n in range(20):
        calls = [records.put("c", f"{n}-{k}", k, timeout=0.0002 * (n % 10)) for k in range(10)]
        answers = await settled(*calls)
        await records.put("c", "after", n)
        for k, answer in enumerate(answers):
            found = await records.get("c", f"{n}-{k}")
            if isinstance(answer, HiveStateError):
                assert isinstance(answer, Unavailable | Indeterminate), repr(answer)
                assert found is None or isinstance(answer, Indeterminate), "done all the same"
            else:
                assert found is not None
                assert found.version == answer


@check("call.many_at_once", area="M", number=144, needs=TASKS, tier=Tier.RACE)
async def many_at_once(env: Env) -> None:
    """Contract: hundreds of callers at once, of every kind, each get their answer."""
    store = env.store

    async def caller(n: int) -> int:
        await store.records.put("c", f"{n}", n)
        await store.tasks.enqueue("q", n)
        (lease,) = await store.tasks.claim("q", worker=f"w{n}")
        await store.tasks.complete(lease)
        assert await store.records.count("c") > 0
        record = await store.records.get("c", f"{n}")
        assert record is not None
        return int(record.value)

    async with asyncio.timeout(PATIENCE * 2):
        assert await together(*map(caller, range(100))) == list(range(100))


@check("loop.another_one", area="M", number=145)
async def another_loop(env: Env) -> None:
    """Contract: a call from another event loop than the Store's works or is an InvalidArgument, never hangs,
    and leaves the store usable.
    """
    await env.store.records.put("c", "k", 1)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: env.store.records.get("c", "k"),
        lambda: env.store.records.put("c", "k", 2),
        lambda: env.store.records.count("c"),
        env.store.stats,
    ]
    answers: list[object] = []

    async def elsewhere() -> None:
        for call in calls:
            async with asyncio.timeout(PATIENCE):
                answers.append((await settled(call()))[0])

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()), daemon=True)
    thread.start()
    async with asyncio.timeout(PATIENCE):
        while thread.is_alive():
            await asyncio.sleep(0.005)
    assert len(answers) == len(calls), "a call from another loop did not end"
    errors = [answer for answer in answers if isinstance(answer, HiveStateError)]
    assert all(isinstance(error, InvalidArgument) for error in errors), f"{errors}"
    await env.store.records.put("c", "k", 3)
    assert await env.store.records.count("c") == 1


@check("loop.forked", area="M", number=146)
async def forked(env: Env) -> None:
    """Contract: a Store that was opened before a fork works in the child or says InvalidArgument, never hangs
    there, and goes on in the parent.
    """
    if not hasattr(os, "fork"):
        raise NotRun("this system cannot fork", physics=True)
    await env.store.records.put("c", "k", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is what is tested
        child = os.fork()
    if child == 0:
        os._exit(_in_child(env.store))
    ending = asyncio.ensure_future(asyncio.to_thread(os.waitpid, child, 0))
    ended, _ = await asyncio.wait({ending}, timeout=PATIENCE)
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = await ending
    assert ended, "the child hangs"
    assert os.waitstatus_to_exitcode(status) == 0, "the child got neither an answer nor an InvalidArgument"
    await env.store.records.put("c", "k", 3)
    assert await env.store.records.count("c") == 1


def _in_child(store: Store) -> int:
    """The exit code: 0 = it worked, or was refused."""

    async def call() -> None:
        async with asyncio.timeout(PATIENCE / 2):
            await store.records.put("c", "k", 2)

    asyncio.events._set_running_loop(None)  # the parent's is not running here
    try:
        asyncio.run(call())
    except InvalidArgument:
        return 0
    except BaseException:
        return 1
    return 0


@check("close.many_cycles", area="M", number=148)
async def many_cycles(env: Env) -> None:
    """Contract: opening, using and closing again and again leaves no file, thread or task behind."""

    async def cycle(n: int) -> None:
        store = await env.harness.open(env.namespace)
        await together(*(store.records.put("c", f"{k}", n) for k in range(3)))
        await store.close()

    for n in range(3):
        await cycle(n)
    files, threads, tasks = open_files(), threading.active_count(), len(asyncio.all_tasks())
    for n in range(15):
        await cycle(n)
    assert open_files() <= files + 1, "files are left open"
    assert threading.active_count() <= threads + 1, "threads are left"
    assert len(asyncio.all_tasks()) <= tasks, "tasks are left"


def open_files() -> int:
    """0 where the system does not tell."""
    gc.collect()
    descriptors = Path("/proc/self/fd")
    return len(list(descriptors.iterdir())) if descriptors.is_dir() else 0


@check("close.ends_all_waiting", area="M", number=147, needs={*TASKS, *STREAMS})
async def ends_all_waiting(env: Env) -> None:
    """Contract: closing a Store ends the loops of workers, consumers and followers, and who waits for a lock
    gets Closed.
    """
    store = await env.elsewhere("-closing")
    held = await store.locks.try_acquire("l", ttl=3600)
    assert held is not None
    await store.events.create_group("s", "g")

    async def through(loop: object) -> str:
        async with aclosing(loop) as items:  # type: ignore[type-var]
            async for _ in items:  # type: ignore[attr-defined]
                return "got something"
        return "ended"

    async def locked() -> str:
        try:
            async with store.locks.acquire("l"):
                return "got it"
        except Closed:
            return "ended"

    async def nothing(_: object) -> None:
        return

    async def worked() -> str:
        await store.tasks.work("q", nothing, worker="w")
        return "ended"

    waiting = [
        asyncio.ensure_future(call)
        for call in (
            worked(),
            through(store.tasks.consume("q", worker="w")),
            through(store.events.consume("s", group="g")),
            through(store.events.subscribe("s", group="g")),
            through(store.events.follow("s")),
            locked(),
        )
    ]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE):
        await store.close()
        assert await asyncio.gather(*waiting) == ["ended"] * 6


@check("close.forgotten_is_told", area="M", number=149)
async def forgotten_is_told(env: Env) -> None:
    """Contract: a Store that is dropped without being closed warns with a ResourceWarning that names it."""
    store = await env.harness.open(env.namespace)
    await store.records.put("c", "k", 1)
    driver = driver_of(store)
    shown = repr(store)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del store
        gc.collect()
    await driver.close()
    told = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert any(shown in text for text in told), f"{told}"


@check("close.peer_goes_on", area="M", number=147)
async def peer_goes_on(env: Env) -> None:
    """Contract: closing one Store leaves the others of the same data as they are."""
    stores = await with_peer(env)
    await stores[0].records.put("c", "k", 1)
    other = await env.harness.open(env.namespace)
    await other.records.get("c", "k")
    await other.close()
    for store in stores:
        assert await store.records.put("c", "k", 2) > 0
        assert await store.records.count("c") == 1
    await raises(Closed, other.records.get("c", "k"))
