"""`commit`: load the state that the trip's batches touch, decide each batch, write what was decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from hive_state_core import outcomes, transitions
from hive_state_core.model import (
    LIVE,
    CommitRef,
    DedupeRef,
    TaskImage,
    TaskRef,
    TaskState,
)
from hive_state_core.spi import (
    KEEP_TTL,
    Batch,
    Cancel,
    Committed,
    Complete,
    CreatedIs,
    Delete,
    Enqueue,
    Enqueued,
    Extend,
    Extended,
    Fail,
    LeaseIs,
    OpResult,
    Outcome,
    Prioritize,
    Put,
    Reason,
    Redrive,
    Refused,
    Release,
    SetPaused,
    Take,
    Touch,
    VersionIs,
)
from hive_state_sqlite import rows, sets, statements
from hive_state_sqlite.prestate import load, load_tasks
from hive_state_sqlite.refusal import Refusal
from hive_state_sqlite.streaming import StreamDecision
from hive_state_sqlite.trip import Trip


class _Changes:
    """What a batch, or the trip so far, has decided. `dedupe` holds who has a place now (None: free)."""

    __slots__ = ("dedupe", "deletes", "inserts", "puts", "queues", "tasks", "touches")

    def __init__(self) -> None:
        self.puts: list[rows.Row] = []
        self.deletes: list[rows.Row] = []
        self.touches: list[rows.Row] = []
        self.inserts: dict[str, TaskImage] = {}
        self.tasks: dict[str, TaskImage] = {}
        self.dedupe: dict[DedupeRef, str | None] = {}
        self.queues: list[rows.Row] = []

    def add(self, other: _Changes) -> None:
        self.puts += other.puts
        self.deletes += other.deletes
        self.touches += other.touches
        self.inserts |= other.inserts
        self.tasks |= other.tasks
        self.dedupe |= other.dedupe
        self.queues += other.queues

    def __bool__(self) -> bool:
        return bool(self.puts or self.inserts or self.tasks or self.deletes or self.touches or self.queues)


def commit(trip: Trip, batches: Sequence[Batch]) -> list[Outcome]:
    """Outcomes in the order of the batches; everything that they changed is written.

    Two paths: sets of batches that are alike and plain, and the general one for what is left. As batches of
    a trip do not see each other, it does not matter which is written first, but for the order of tasks and
    for dedupe keys: then the general path takes all that meets.
    """
    deciders = [sets.decider(batch) for batch in batches]
    decide = deciders[0]
    if decide is not None and deciders.count(decide) == len(batches):
        found = decide(trip, batches)
    else:
        found = _decide_sets(trip, batches, deciders)
    if None in found:
        left = [place for place, outcome in enumerate(found) if outcome is None]
        decision = _Decision(trip, [batches[place] for place in left])
        for place in left:
            found[place] = decision.decide(batches[place])
        decision.apply()
    return cast("list[Outcome]", found)


def _decide_sets(
    trip: Trip, batches: Sequence[Batch], deciders: Sequence[sets.Decide | None]
) -> sets.Decided:
    """Each set for itself; the batches that are not plain are left."""
    found: sets.Decided = [None] * len(batches)
    general = [batch for batch, decide in zip(batches, deciders, strict=True) if decide is None]
    left_out = sets.IN_ORDER if _takes_places(general) else ()
    for decide in {*deciders}.difference(left_out):
        if decide is not None:
            places = [place for place, each in enumerate(deciders) if each is decide]
            decided = decide(trip, [batches[place] for place in places])
            for place, outcome in zip(places, decided, strict=True):
                found[place] = outcome
    return found


def _takes_places(batches: Sequence[Batch]) -> bool:
    """Whether one of them may give out the next place of the order, or take a dedupe key."""
    return any(type(op) in (Enqueue, Redrive) for batch in batches for op in batch.ops)


class _Decision:
    def __init__(self, trip: Trip, batches: Sequence[Batch]) -> None:
        self._trip = trip
        self._trip_changes = _Changes()
        self._changes = self._trip_changes
        self._commits: list[rows.Row] = []
        self._streams = StreamDecision(trip)
        self._records, (self._tasks, self._parents) = load(trip, batches)

    def decide(self, batch: Batch) -> Outcome:
        if batch.commit_id is not None:
            remembered = self._remembered(batch)
            if remembered is not None:
                return remembered
        changes = self._changes = _Changes()
        orders = self._trip.orders
        self._streams.begin(batch)
        results: list[OpResult] = []
        refused = self._try(batch, results)
        if refused is not None:
            self._trip.orders = orders
            self._streams.refuse()
            return refused
        self._trip_changes.add(changes)
        changed = self._streams.accept() or changes
        committed = Committed(self._trip.version if changed else 0, self._trip.at, tuple(results))
        if batch.commit_id is not None:
            self._remember(batch, committed)
        return committed

    def _try(self, batch: Batch, results: list[OpResult]) -> Refused | None:
        """Fill `results` and `self._changes`, or say what does not hold."""
        place, in_check = 0, True
        try:
            for check in batch.checks:
                self._check(check)
                place += 1
            place, in_check = 0, False
            for op in batch.ops:
                handler = _HANDLERS.get(type(op))
                results.append(handler(self, op) if handler else self._streams.decide(op))
                place += 1
        except Refusal as no:
            return no.outcome(place, in_check)
        return None

    def apply(self) -> None:
        """Write all that was decided: one statement run over many rows for each kind of change."""
        trip, changes = self._trip, self._trip_changes
        inserts = [rows.task_insert_row(trip.ns, task) for task in changes.inserts.values()]
        edges = [(trip.ns, parent, id) for id, task in changes.inserts.items() for parent in task.parents]
        trip.update_tasks(list(changes.tasks.values()))
        self._streams.apply()
        for statement, values in (
            (statements.RECORD_PUT, changes.puts),
            (statements.RECORD_DELETE, changes.deletes),
            (statements.RECORD_TOUCH, changes.touches),
            (statements.TASK_INSERT, inserts),
            (statements.TASK_CHILD_INSERT, edges),
            (statements.QUEUE_WRITE, changes.queues),
            (statements.COMMIT_WRITE, self._commits),
        ):
            if values:
                trip.changed = True
                trip.executemany(statement, values)

    # -- commit ids

    def _remembered(self, batch: Batch) -> Outcome | None:
        row = self._trip.db.execute(statements.COMMIT_READ, (self._trip.ns, batch.commit_id)).fetchone()
        if row is None:
            return None
        fingerprint, outcome = row
        if fingerprint != batch.fingerprint:
            return Refused(Reason.COMMIT_ID, CommitRef(batch.commit_id or ""), 0, False)
        return outcomes.load(outcome)

    def _remember(self, batch: Batch, committed: Committed) -> None:
        trip = self._trip
        dumped = outcomes.dump(committed)
        self._commits.append((trip.ns, batch.commit_id, trip.version, batch.fingerprint, dumped, trip.at))

    # -- checks

    def _check(self, check: VersionIs | CreatedIs | LeaseIs) -> None:
        if isinstance(check, LeaseIs):
            self._leased(check.ref, check.token)
            return
        state = self._records.get(check.ref)
        if isinstance(check, VersionIs):
            actual = state.version if state else 0
        else:
            actual = state.created_version if state else 0
        if actual != check.version:
            raise Refusal(Reason.VERSION, check.ref, check.version, actual)

    def _leased(self, ref: TaskRef, token: int) -> TaskImage:
        """The task as it was before the trip, if it is leased under this token."""
        task = self._tasks.get(ref.id)
        actual = task.token if task is not None else 0
        if task is None or task.state is not TaskState.LEASED or actual != token:
            raise Refusal(Reason.LEASE, ref, token, actual)
        return task

    # -- records

    def _put(self, op: Put) -> None:
        trip, ref = self._trip, op.ref
        if op.ttl is None:
            expires_at = None
        elif op.ttl == KEEP_TTL:
            state = self._records.get(ref)
            expires_at = state.expires_at if state else None
        else:
            expires_at = trip.at + op.ttl
        self._changes.puts.append(rows.put_row(trip.ns, op, trip.at, trip.version, expires_at))

    def _delete(self, op: Delete) -> bool:
        trip, ref = self._trip, op.ref
        if ref not in self._records:
            return False
        self._changes.deletes.append((trip.ns, ref.collection, ref.key, trip.version, trip.at))
        return True

    def _touch(self, op: Touch) -> bool:
        trip, ref = self._trip, op.ref
        if ref not in self._records:
            return False
        expires_at = None if op.ttl is None else trip.at + op.ttl
        self._changes.touches.append((trip.ns, ref.collection, ref.key, trip.version, trip.at, expires_at))
        return True

    # -- tasks

    def _enqueue(self, op: Enqueue) -> Enqueued:
        trip = self._trip
        if self._task(op.ref.id) is not None:
            return Enqueued(op.ref.id, False)
        if op.dedupe_key is not None:
            place = DedupeRef(op.queue, op.dedupe_key)
            holder = self._holder(place)
            if holder is not None:
                return Enqueued(holder, False)
            self._changes.dedupe[place] = op.ref.id
        task = transitions.enqueued(
            op,
            at=trip.at,
            version=trip.version,
            order=trip.next_order(),
            unmet=sum([self._unmet(parent) for parent in op.depends_on]),
        )
        self._changes.inserts[op.ref.id] = task
        return Enqueued(op.ref.id, True)

    def _unmet(self, parent: str) -> bool:
        """Whether a new child has to wait for this task."""
        task = self._task(parent)
        if task is None:
            raise Refusal(Reason.MISSING, TaskRef(parent))
        return task.state is not TaskState.COMPLETED

    def _complete(self, op: Complete) -> None:
        task = self._leased(op.ref, op.token)
        self._turn(transitions.completed(task, op, at=self._trip.at, version=self._trip.version))
        if op.ref.id not in self._parents and not self._changes.inserts:
            return
        for child in self._children(op.ref.id):
            if child.unmet:
                freed = transitions.parent_completed(child, at=self._trip.at, version=self._trip.version)
                self._turn(freed)

    def _children(self, parent: str) -> list[TaskImage]:
        """As they are now: those of the store, and those that this batch enqueued."""
        rows_ = self._trip.db.execute(statements.TASKS_CHILDREN, (self._trip.ns, parent)).fetchall()
        ids = [child for (child,) in rows_ if self._tasks.setdefault(child) is None]
        self._tasks |= load_tasks(self._trip, ids).images
        children = [self._task(child) for (child,) in rows_]
        children += [task for task in self._changes.inserts.values() if parent in task.parents]
        return [child for child in children if child is not None]

    def _fail(self, op: Fail) -> TaskState:
        task = self._leased(op.ref, op.token)
        return self._turn(transitions.failed(task, op, at=self._trip.at, version=self._trip.version))

    def _release(self, op: Release) -> TaskState:
        task = self._leased(op.ref, op.token)
        return self._turn(transitions.released(task, op, at=self._trip.at, version=self._trip.version))

    def _extend(self, op: Extend) -> Extended:
        task = self._leased(op.ref, op.token)
        longer = transitions.extended(task, op, at=self._trip.at, version=self._trip.version)
        self._turn(longer)
        return Extended(longer.lease_until or 0, longer.cancel_requested)

    def _cancel(self, op: Cancel) -> TaskState | None:
        task = self._task(op.ref.id)
        if task is None:
            return None
        turned = transitions.cancelled(task, at=self._trip.at, version=self._trip.version)
        return self._turn(turned) if turned is not task else task.state

    def _redrive(self, op: Redrive) -> bool:
        task = self._task(op.ref.id)
        if task is None or task.state not in (TaskState.DEAD, TaskState.CANCELLED):
            return False
        if task.dedupe_key is not None:
            place = DedupeRef(task.queue, task.dedupe_key)
            if self._holder(place) is not None:
                return False
            self._changes.dedupe[place] = op.ref.id
        self._turn(transitions.redriven(task, at=self._trip.at, version=self._trip.version))
        return True

    def _take(self, op: Take) -> int:
        task = self._task(op.ref.id)
        if task is None or not transitions.takeable(task, at=self._trip.at):
            return 0
        self._turn(transitions.claimed(task, op, at=self._trip.at, version=self._trip.version))
        return self._trip.version

    def _prioritize(self, op: Prioritize) -> bool:
        task = self._task(op.ref.id)
        if task is None or task.state not in LIVE:
            return False
        self._turn(transitions.prioritized(task, op, at=self._trip.at, version=self._trip.version))
        return True

    def _set_paused(self, op: SetPaused) -> None:
        trip = self._trip
        self._changes.queues.append((trip.ns, op.ref.queue, trip.version, op.paused))

    def _task(self, id: str) -> TaskImage | None:
        """As this batch and the earlier ones of the trip leave it."""
        for changes in (self._changes, self._trip_changes):
            task = changes.tasks.get(id) or changes.inserts.get(id)
            if task is not None:
                return task
        return self._tasks.get(id)

    def _turn(self, task: TaskImage) -> TaskState:
        """The task as it is from now on; one that has ended gives its dedupe place back."""
        changed = self._changes
        (changed.inserts if task.ref.id in changed.inserts else changed.tasks)[task.ref.id] = task
        if task.dedupe_key is not None and task.state not in LIVE:
            place = DedupeRef(task.queue, task.dedupe_key)
            if self._holder(place) == task.ref.id:
                self._changes.dedupe[place] = None
        return task.state

    def _holder(self, place: DedupeRef) -> str | None:
        """Id of the live task that has the place: by this batch, by an earlier one of the trip, or before."""
        for changes in (self._changes, self._trip_changes):
            if place in changes.dedupe:
                return changes.dedupe[place]
        key = (self._trip.ns, place.queue, place.key)
        row = self._trip.db.execute(statements.TASKS_DEDUPE, key).fetchone()
        return None if row is None else str(row[0])


_HANDLERS: dict[type, Callable[[_Decision, Any], OpResult]] = {
    Put: _Decision._put,
    Delete: _Decision._delete,
    Touch: _Decision._touch,
    Enqueue: _Decision._enqueue,
    Complete: _Decision._complete,
    Fail: _Decision._fail,
    Release: _Decision._release,
    Extend: _Decision._extend,
    Cancel: _Decision._cancel,
    Redrive: _Decision._redrive,
    Take: _Decision._take,
    Prioritize: _Decision._prioritize,
    SetPaused: _Decision._set_paused,
}
