"""What becomes of a trip that fails, over a driver that fails as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from hive_state_core import open_store
from hive_state_core.errors import (
    Indeterminate,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from hive_state_core.features import Clock, Consistency, Durability, Facility, Features, Sharing, Wake
from hive_state_core.following import Following
from hive_state_core.member import Member
from hive_state_core.model import GroupRef, PendingRef, RecordRef, StreamRef, TaskRef
from hive_state_core.op_rules import conflict_keys, giving_back
from hive_state_core.spi import (
    MISSED,
    Ack,
    Append,
    Batch,
    Cancel,
    ClaimedEvents,
    ClaimEvents,
    Committed,
    Complete,
    Control,
    ControlState,
    Enqueue,
    Outcome,
    Put,
    Reason,
    Refused,
    Reply,
    Seek,
    Trim,
    VersionIs,
)
from hive_state_core.trips import Trips

FAILURE = Callable[[Sequence[Batch]], BaseException | None]


class FailingDriver:
    """Commits nothing; `fail` says with which error a trip ends, `outcomes` what is remembered of it."""

    def __init__(self, fail: FAILURE, outcomes: Any = None, *, remembers: bool = True) -> None:
        self.fail = fail
        self.trips: list[int] = []
        self.asked: list[str] = []
        self.replied: list[str] = []
        self.told: list[str] = []
        self._outcomes = outcomes
        facilities = {Facility.TASKS} | ({Facility.OUTCOMES} if remembers else set())
        self.features = Features(
            durability=Durability.VOLATILE,
            sharing=Sharing.PROCESS,
            consistency=Consistency.LINEARIZABLE,
            wake=Wake.NONE,
            clock=Clock.HOST,
            facilities=frozenset(facilities),
        )

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        self.trips.append(len(batches))
        error = self.fail(batches)
        if error is not None:
            raise error
        self.replied.append(trip_id)
        return Reply(1, 1, [Committed(7, 1, (None,)) for _ in batches])

    def heard(self, trip_id: str) -> None:
        self.told.append(trip_id)

    async def outcome(self, trip_id: str) -> Any:
        self.asked.append(trip_id)
        if isinstance(self._outcomes, Exception):
            raise self._outcomes
        return self._outcomes


def put(key: str) -> Batch:
    return Batch((Put(RecordRef("c", key), b"1"),))


def trips_over(driver: FailingDriver) -> Trips:
    trips = Trips(driver)  # type: ignore[arg-type]
    trips.open()
    return trips


async def commit_all(trips: Trips, *keys: str) -> list[Any]:
    return await asyncio.gather(*(trips.commit(put(key)) for key in keys), return_exceptions=True)


def poisoned(batches: Sequence[Batch]) -> BaseException | None:
    return RuntimeError("boom") if any(batch.ops[0].ref.key == "poison" for batch in batches) else None  # type: ignore[union-attr]


async def test_an_unforeseen_error_fails_only_the_batch_that_causes_it() -> None:
    driver = FailingDriver(poisoned)
    results = await commit_all(trips_over(driver), "a", "poison", "b")
    assert [type(result) for result in results] == [Committed, Internal, Committed]
    assert isinstance(results[1].__cause__, RuntimeError)
    assert driver.trips == [3, 1, 1, 1]


async def test_an_unavailable_store_is_not_tried_again_batch_by_batch() -> None:
    driver = FailingDriver(lambda _: Unavailable("busy"))
    results = await commit_all(trips_over(driver), "a", "b")
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    assert results[0] is not results[1]  # each waiter raises an error of its own
    assert driver.trips == [2]


async def test_after_a_lost_reply_the_outcome_is_asked() -> None:
    reply = Reply(
        1, 1, [Committed(9, 1, (None,)), Refused(Reason.VERSION, RecordRef("c", "b"), 0, True, 1, 2)]
    )
    driver = FailingDriver(lambda _: Indeterminate("cut"), reply)
    results = await commit_all(trips_over(driver), "a", "b")
    assert results[0] == Committed(9, 1, (None,))
    assert results[1].code == "conflict"
    assert len(driver.asked) == 1


async def test_no_outcome_means_not_applied() -> None:
    driver = FailingDriver(lambda _: Indeterminate("cut"), None)
    (error,) = await commit_all(trips_over(driver), "a")
    assert type(error) is Unavailable
    assert error.applied == "no"


@pytest.mark.parametrize("remembers", [True, False])
async def test_only_an_outcome_that_cannot_be_had_is_indeterminate(remembers: bool) -> None:
    driver = FailingDriver(lambda _: Indeterminate("cut"), Unavailable("still cut"), remembers=remembers)
    (error,) = await commit_all(trips_over(driver), "a")
    assert type(error) is Indeterminate
    assert error.applied == "unknown"
    assert bool(driver.asked) is remembers


async def test_what_is_not_declared_is_refused_before_the_driver_sees_it() -> None:
    driver = FailingDriver(lambda _: None)
    trips = trips_over(driver)
    for facility, op in (
        (Facility.DEPENDENCIES, Enqueue(TaskRef("t"), "q", b"1", depends_on=("p",))),
        (Facility.REQUIREMENTS, Enqueue(TaskRef("t"), "q", b"1", requires=("gpu",))),
    ):
        with pytest.raises(Unsupported) as caught:
            await trips.commit(Batch((op,)))
        assert caught.value.feature == facility.value
    assert driver.trips == []
    await trips.commit(Batch((Cancel(TaskRef("t")),)))
    assert driver.trips == [1]


class CachingDriver(FailingDriver):
    """`recall` gives what it is told to, `fetch` fails."""

    def __init__(self, recalled: Any) -> None:
        super().__init__(lambda _: None)
        self.recalled = recalled

    def peek(self, ref: RecordRef) -> None:
        return None

    async def recall(self, refs: Sequence[RecordRef]) -> Reply[Any]:
        if isinstance(self.recalled, Exception):
            raise self.recalled
        return Reply(1, 1, [self.recalled for _ in refs])

    async def fetch(self, refs: Sequence[RecordRef]) -> Reply[Any]:
        raise Unavailable("of the truth")

    def counts(self) -> tuple[int, int]:
        return 0, 0


@pytest.mark.parametrize(
    ("recalled", "told"), [(Unavailable("of the cache"), "of the cache"), (MISSED, "of the truth")]
)
async def test_a_read_by_way_of_the_cache_that_fails(recalled: Any, told: str) -> None:
    with pytest.raises(Unavailable, match=told):
        await trips_over(CachingDriver(recalled)).read((RecordRef("c", "k"),))


async def test_what_cannot_be_read_of_a_stream_is_raised() -> None:
    async def failing(*_: Any, **__: Any) -> Any:
        raise Unavailable("cut")

    async with open_store("memory://") as hive:
        hive._driver.stream = failing  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="cut"):
            await hive.events.read("s")


async def test_a_call_that_travels_with_no_other_has_its_timeout() -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)

    async with open_store("memory://") as hive:
        hive._driver.scan = never  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match=r"no answer within 0\.02 s"):
            await hive.records.count("c", timeout=0.02)


async def test_a_missing_parent_is_not_found() -> None:
    driver = FailingDriver(lambda _: None)

    async def refuses(batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        return Reply(1, 1, [Refused(Reason.MISSING, TaskRef("p"), 0, False)])

    driver.commit = refuses  # type: ignore[method-assign]
    with pytest.raises(NotFound, match="task 'p' does not exist"):
        await trips_over(driver).commit(put("a"))


def test_what_is_only_looked_at_is_shared() -> None:
    enqueue = Enqueue(TaskRef("t"), "q", b"1", dedupe_key="k", depends_on=("p",))
    keys, shared = conflict_keys(
        Batch((enqueue, Put(RecordRef("c", "k"), b"1")), (VersionIs(RecordRef("c", "other"), 3),), "id", b"f")
    )
    assert len(keys) == 4  # task, record, dedupe place, commit id
    assert set(shared) == {RecordRef("c", "other"), TaskRef("p")}


def test_what_is_checked_and_written_is_not_shared() -> None:
    own, other, task = RecordRef("c", "own"), RecordRef("c", "other"), TaskRef("t")
    ops = (Complete(task, 4), Put(own, b"1"))
    assert conflict_keys(Batch(ops, (VersionIs(own, 3), VersionIs(other, 0)))) == ([task, own], [other])
    assert conflict_keys(Batch(ops, (VersionIs(own, 3),))) == ([task, own], [])


def test_a_claim_that_got_nothing_has_nothing_to_give_back() -> None:
    assert list(giving_back(ClaimEvents(GroupRef("s", "g"), "w", 1000), ClaimedEvents(()))) == []


def test_appends_share_a_stream_that_a_trim_wants_alone() -> None:
    stream, group = StreamRef("s"), GroupRef("s", "g")
    assert conflict_keys(Batch((Append(stream, b"1"),))) == ([], [stream])
    assert conflict_keys(Batch((Seek(group, 1),))) == ([group], [stream])
    assert conflict_keys(Batch((Ack(group, ((1, 2), (3, 2))),))) == (
        [PendingRef("s", "g", 1), PendingRef("s", "g", 3)],
        [group, stream],
    )
    assert conflict_keys(Batch((Trim(stream, 5),))) == ([stream], [])


async def test_a_store_belongs_to_the_loop_that_opened_it() -> None:
    async with open_store("memory://") as hive:
        for call in (lambda: hive.records.get("c", "k"), lambda: hive.records.count("c")):

            async def elsewhere(call: Any = call) -> None:
                with pytest.raises(InvalidArgument, match="belongs to the event loop that opened it"):
                    await call()

            await asyncio.to_thread(asyncio.run, elsewhere())
        assert await hive.records.get("c", "k") is None


async def test_a_driver_is_told_of_replies_that_arrived() -> None:
    errors: list[BaseException | None] = [None, Indeterminate("lost"), None]
    driver = FailingDriver(lambda _: errors.pop(0), Reply(1, 1, [Committed(7, 1, (None,))]))
    trips = trips_over(driver)
    for key in "abc":
        await trips.commit(put(key))
    assert driver.told == driver.replied
    assert len(driver.told) == 2
    assert set(driver.asked).isdisjoint(driver.told)


def following_from(*drivers: FailingDriver) -> tuple[Following, list[Member]]:
    members = [Member(str(n), driver) for n, driver in enumerate(drivers)]  # type: ignore[arg-type]
    return Following(members[0], lambda _: members[1].driver, ["1"]), members


def test_as_many_trips_are_wanted_as_by_the_store_in_which_the_hive_lives_now() -> None:
    home, other = FailingDriver(lambda _: None), FailingDriver(lambda _: None)
    other.features = replace(other.features, trips=2)
    following, members = following_from(home, other)
    trips = Trips(following)
    assert trips.crowd.most == 1
    row = Control(store_id="s", peer=None, state=ControlState.OPEN, term=1, epoch=2, sinks=frozenset())
    for member, most in ((members[1], 2), (members[0], 1)):
        following._turn(member, row)
        assert trips.crowd.most == most


async def test_who_follows_asks_once_where_the_trip_went() -> None:
    """Asked again of where the hive lives by then, it would be unknown, and taken for not applied."""
    home = FailingDriver(lambda _: Indeterminate("cut"), Unavailable("still cut"))
    following, _ = following_from(home)
    trips = Trips(following)
    trips.open()
    with pytest.raises(Indeterminate):
        await trips.commit(put("a"))
    assert len(home.asked) == 1
