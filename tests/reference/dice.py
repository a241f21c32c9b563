"""What is asked: trips at random, of every operation, so that they go by sets, one by one, and mixed."""

from __future__ import annotations

import random
from typing import Any

from hive_state_core.model import GroupRef, TaskRef
from hive_state_core.spi import (
    KEEP_TTL,
    Ack,
    Append,
    Batch,
    Cancel,
    Check,
    ClaimEvents,
    ClaimRequest,
    ClaimTasks,
    Complete,
    CreatedIs,
    CreateGroup,
    Delete,
    DropGroup,
    DropStream,
    Enqueue,
    Extend,
    ExtendDeliveries,
    Fail,
    LeaseIs,
    Nack,
    Op,
    Prioritize,
    Put,
    Redrive,
    Release,
    Retention,
    Seek,
    SetPaused,
    Take,
    Touch,
    Trim,
    VersionIs,
)
from hive_state_core.trips import conflict_keys

from .names import CURRENT, GROUPS, LEASE, QUEUE, RECORDS, STREAMS, TASKS, WRONG
from .side import Side


class Dice(random.Random):
    """Trips at random, some refused. `leases` and `deliveries`: what was handed out, the newest last."""

    leases: list[TaskRef]
    deliveries: list[tuple[GroupRef, int]]

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.flat = seed % 2 > 0  # half of the runs go by sets alone

    def look(self, side: Side) -> None:
        self.leases, self.deliveries = list(side.leases), list(side.deliveries)

    def token(self) -> int:
        return self.choices((CURRENT, WRONG, 0), (20, 1, 1))[0]

    def delivery(self) -> tuple[GroupRef, tuple[tuple[int, int], ...]]:
        """Mostly what is pending, under the token that was given; often enough what is dead."""
        group = self.choice(self.deliveries[-6:])[0] if self.deliveries else self.choice(GROUPS)
        seqs = [seq for ref, seq in self.deliveries[-6:] if ref == group] or [1]
        several = self.choices(seqs, k=self.choice((1, 1, 1, 2)))
        return group, tuple([(seq, self.choices((CURRENT, 0, WRONG), (20, 3, 1))[0]) for seq in several])

    def enqueue(self) -> Enqueue:
        parents = () if self.flat else self.choice([(), (), (), (self.choice(TASKS).id,)])
        key = None if self.flat else self.choice((None, None, None, "d"))
        delay, attempts = self.choice((0, 0, 300)), self.choice((1, 2))
        return Enqueue(
            self.choice(TASKS),
            QUEUE.queue,
            b"1",
            False,
            self.choice((1, 5)),
            delay,
            attempts,
            key,
            depends_on=parents,
        )

    def op(self) -> Op:
        stream, group, record = self.choice(STREAMS), self.choice(GROUPS), self.choice(RECORDS)
        lease = self.choice(self.leases[-3:] or TASKS)
        delivered, named = self.delivery()
        error, spent, ttl = self.choice((None, "no")), self.random() < 0.7, self.choice((None, 500, KEEP_TTL))
        ops: dict[Op, float] = {
            Append(stream, b"%d" % self.randrange(100), self.random() < 0.5): 8,
            Ack(delivered, named): 5,
            Nack(delivered, named, self.choice((None, 0, 300)), error, spent): 2.5,
            ExtendDeliveries(delivered, named, self.choice((10, 2000))): 1,
            CreateGroup(group, self.choice((None, 0, 0, 0, 3)), self.choice((1, 2, 3))): 2.5,
            Trim(stream, self.randint(1, 12), self.random() < 0.5): 1,
            Seek(group, self.randint(0, 12)): 0.3,
            DropGroup(group): 0.1,
            DropStream(stream): 0.1,
            Put(record, b"%d" % self.randrange(9), ttl=ttl): 8,
            Delete(record): 1,
            Touch(record, 500): 1,
            self.enqueue(): 8,
            Complete(lease, self.token(), self.choice((None, b"1"))): 6,
            Fail(lease, self.token(), "bad", self.choice((None, 0, 300))): 1,
            Release(lease, self.token()): 0.5,
            Extend(lease, self.token(), 2000): 0.5,
            Cancel(self.choice(TASKS)): 0.5,
            Redrive(self.choice(TASKS)): 2,
            Take(self.choice(TASKS), "t", LEASE): 1,
            Prioritize(self.choice(TASKS), self.choice((1, 5, 9))): 0.5,
            SetPaused(QUEUE, self.random() < 0.3): 0.3,
        }
        if self.flat:
            ops = {op: weight for op, weight in ops.items() if weight >= 3}
        return self.choices(list(ops), list(ops.values()))[0]

    def check(self) -> Check:
        record = self.choice(RECORDS)
        checks = [
            VersionIs(record, self.choice((CURRENT, CURRENT, WRONG, 0))),
            CreatedIs(record, CURRENT),
            LeaseIs(self.choice(self.leases[-3:] or TASKS), self.token()),
        ]
        return self.choice(checks)

    def batch(self) -> Batch:
        ops: dict[Any, Op] = {}
        for n in range(self.choice((1, 1, 1, 2, 3, 4))):
            op = self.op()
            ops.setdefault((op.ref, n if isinstance(op, Append) else None), op)
        checks = {check.ref: check for check in [self.check() for _ in range(self.choice((0, 0, 0, 1, 2)))]}
        return Batch(tuple(ops.values()), tuple(checks.values()))

    def trip(self) -> list[Batch]:
        batches: list[Batch] = []
        taken: set[Any] = set()
        looked_at: set[Any] = set()
        for _ in range(self.choice((1, 1, 2, 5))):
            batch = self.batch()
            keys, shared = map(set, conflict_keys(batch))
            if not keys & (taken | looked_at) and not shared & taken:
                batches.append(batch)
                taken |= keys
                looked_at |= shared
        return batches

    def claims(self) -> list[ClaimRequest]:
        requests: list[ClaimRequest] = []
        for _ in range(self.choice((1, 2, 3))):
            worker, lease, limit = self.choice("xyz"), self.choice((300, LEASE)), self.randint(1, 4)
            requests.append(ClaimEvents(self.choice(GROUPS), worker, lease, limit))
            if self.random() < 0.5:
                requests.append(ClaimTasks(QUEUE.queue, worker, lease, limit))
        return requests

    def retention(self) -> Retention:
        """Nothing goes that ends in the sweep itself: that may be left to the next one."""
        ages = [self.choice((None, None, 1, LEASE)) for _ in range(4)]
        return Retention(completed=ages[0], cancelled=ages[1], dead=ages[2], tombstones=ages[3])
