"""What the calls of one Store took: noted once a trip, not once a call, so that it costs next to nothing.

A trip carries many calls. Of each trip one call is measured, each time at another place in it, and stands
for all of them: over many trips this tells the same percentiles as measuring every call would, for one look
at the clock a call. Counts of trips, calls and errors are exact. By agent every call is measured, and only
if `by_agent` is set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Protocol, get_args

import msgspec

from hive_state_core.errors import HiveStateError
from hive_state_core.histogram import Histogram
from hive_state_core.ids import AGENTS_COLLECTION
from hive_state_core.model import ReadRef, RecordRef, Ref
from hive_state_core.spi import Batch, ClaimRequest, ClaimTasks, Op

AGENTS = 1000
"""Agents that are told apart; what more of them do is told under `OTHERS`."""

OTHERS = "(others)"


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """How calls travelled together. `largest`: calls in one trip; `took`: what the store took for one."""

    trips: int
    calls: int
    largest: int
    took: Histogram

    def __add__(self, other: Traffic) -> Traffic:
        took = self.took.copy()
        took.add(other.took)
        return Traffic(
            trips=self.trips + other.trips,
            calls=self.calls + other.calls,
            largest=max(self.largest, other.largest),
            took=took,
        )


class Asked(Protocol):
    """A call on its way: what it asks for, and the clock when it did."""

    item: Any
    asked: float


class Meter:
    """Of one lane. `kind_of` names the operation of an item; `agents_of` the agents that it names."""

    def __init__(self, kind_of: Callable[[Any], str], agents_of: Callable[[Any], Iterable[str]]) -> None:
        self._kind_of = kind_of
        self._agents_of = agents_of
        self.trips: int = 0
        self.calls: int = 0
        self.largest: int = 0
        self.took: Histogram = Histogram()
        self.alone: dict[str, Histogram] = {}
        self.kinds: dict[str, Histogram] = {}
        self.errors: Counter[str] = Counter()
        self.agents: dict[str, Histogram] | None = None

    def arrived(self, trip: Sequence[Asked], sent: float) -> None:
        """These calls, the oldest first, left at `sent` and have their answers now."""
        now = perf_counter()
        calls = len(trip)
        self.trips += 1
        self.calls += calls
        if calls > self.largest:
            self.largest = calls
        self.took.note(now - sent)
        chosen, oldest = trip[self.trips % calls], trip[0]
        self._kind(chosen.item).note(now - chosen.asked, calls)
        if calls > 1:
            slowest = self._kind(oldest.item)
            slowest.longest = max(slowest.longest, now - oldest.asked)
        if self.agents is not None:
            for each in trip:
                self._note_agents(self.agents, each.item, now - each.asked)

    def arrived_alone(self, item: Any, sent: float) -> None:
        """The same for a call that travelled alone, which is its trip."""
        took = perf_counter() - sent
        kind = self._kind_of(item)
        (self.alone.get(kind) or _entry(self.alone, kind)).note(took)
        if self.agents is not None:
            self._note_agents(self.agents, item, took)

    def failed(self, error: HiveStateError) -> None:
        self.errors[error.code] += 1

    def traffic(self) -> Traffic:
        took = self.took.copy()
        for each in self.alone.values():
            took.add(each)
        alone = took.calls - self.trips
        largest = max(self.largest, min(alone, 1))
        return Traffic(trips=took.calls, calls=self.calls + alone, largest=largest, took=took)

    def _kind(self, item: Any) -> Histogram:
        return _entry(self.kinds, self._kind_of(item))

    def _note_agents(self, agents: dict[str, Histogram], item: Any, took: float) -> None:
        for agent in self._agents_of(item):
            known = agent in agents or len(agents) < AGENTS
            _entry(agents, agent if known else OTHERS).note(took)


def _entry(found: dict[str, Histogram], name: str) -> Histogram:
    histogram = found.get(name)
    if histogram is None:
        histogram = found[name] = Histogram()
    return histogram


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """`operations` and `agents` by name, `lanes`: how they travelled, `errors` by code. For so many records a
    cache was asked, and so many of them it had."""

    operations: dict[str, Histogram]
    agents: dict[str, Histogram]
    lanes: dict[str, Traffic]
    errors: dict[str, int]
    cache_asked: int = 0
    cache_hits: int = 0

    def since(self, earlier: Measured) -> Measured:
        """What was added to that earlier state of it; `lanes` and `errors` are those of all the time."""

        def new(now: dict[str, Histogram], before: dict[str, Histogram]) -> dict[str, Histogram]:
            found = {name: each.since(before.get(name, _NOTHING)) for name, each in now.items()}
            return {name: each for name, each in found.items() if each.slots}

        return msgspec.structs.replace(
            self,
            operations=new(self.operations, earlier.operations),
            agents=new(self.agents, earlier.agents),
        )


def summed(parts: Iterable[Measured]) -> Measured:
    """Of several Stores together."""
    operations: dict[str, Histogram] = {}
    agents: dict[str, Histogram] = {}
    lanes: dict[str, Traffic] = {}
    errors: Counter[str] = Counter()
    asked = hits = 0
    for part in parts:
        asked, hits = asked + part.cache_asked, hits + part.cache_hits
        errors.update(part.errors)
        for sums, each in ((operations, part.operations), (agents, part.agents)):
            for name, histogram in each.items():
                _entry(sums, name).add(histogram)
        for name, traffic in part.lanes.items():
            lanes[name] = lanes[name] + traffic if name in lanes else traffic
    return Measured(
        operations=operations,
        agents=agents,
        lanes=lanes,
        errors=dict(errors),
        cache_asked=asked,
        cache_hits=hits,
    )


_NOTHING = Histogram()


class Telemetry:
    """Of one Store, `hive.telemetry`: it counts from the opening on, in memory, and is gone with the process.

    Set `by_agent` to have the calls that name an agent or a worker measured by its name: claims, and reads
    and changes of the agent's own record. Each such call then costs about a microsecond more.
    """

    def __init__(self) -> None:
        self.reads: Meter = Meter(lambda _: "read", _agents_among)
        self.recalls: Meter = Meter(lambda _: "recall", lambda ref: _agents_among((ref,)))
        self.fetches: Meter = Meter(lambda _: "fetch", lambda ref: _agents_among((ref,)))
        self.commits: Meter = Meter(_kind_of_batch, _agents_written)
        self.claims: Meter = Meter(_kind_of_claim, _agents_claiming)
        self.streams: Meter = Meter(lambda _: "read_events", lambda _: ())
        self.scans: Meter = Meter(lambda kind: f"scan_{kind}", lambda _: ())
        self.cache: Callable[[], tuple[int, int]] = lambda: (0, 0)

    @property
    def lanes(self) -> dict[str, Meter]:
        return {
            "read": self.reads,
            "recall": self.recalls,
            "fetch": self.fetches,
            "commit": self.commits,
            "claim": self.claims,
            "stream": self.streams,
            "scan": self.scans,
        }

    @property
    def by_agent(self) -> bool:
        return self.reads.agents is not None

    @by_agent.setter
    def by_agent(self, wanted: bool) -> None:
        agents: dict[str, Histogram] | None = {} if wanted else None
        for meter in self.lanes.values():
            meter.agents = agents

    def measured(self) -> Measured:
        """All of it, as it is now."""
        operations: dict[str, Histogram] = {}
        errors: Counter[str] = Counter()
        for meter in self.lanes.values():
            errors.update(meter.errors)
            for kind, histogram in (*meter.kinds.items(), *meter.alone.items()):
                if histogram.slots:  # a call of this kind has been measured
                    _entry(operations, kind).add(histogram)
        agents = self.reads.agents or {}
        asked, hits = self.cache()
        return Measured(
            operations=operations,
            agents={agent: each.copy() for agent, each in agents.items()},
            lanes={name: meter.traffic() for name, meter in self.lanes.items() if meter.trips or meter.alone},
            errors=dict(errors),
            cache_asked=asked,
            cache_hits=hits,
        )


_NAMES: dict[type, str] = {op: re.sub(r"\B([A-Z])", r"_\1", op.__name__).lower() for op in get_args(Op)}


def _kind_of_batch(batch: Batch) -> str:
    """The operation; "atomic" if there are several, of a unit or of a bulk verb."""
    ops = batch.ops
    return _NAMES[type(ops[0])] if len(ops) == 1 else "atomic"


def _kind_of_claim(request: ClaimRequest) -> str:
    return "claim_tasks" if isinstance(request, ClaimTasks) else "claim_events"


def _agents_among(refs: Iterable[ReadRef | Ref]) -> list[str]:
    """Those whose records they are."""
    return [ref.key for ref in refs if isinstance(ref, RecordRef) and ref.collection == AGENTS_COLLECTION]


def _agents_written(batch: Batch) -> list[str]:
    return _agents_among([op.ref for op in batch.ops])


def _agents_claiming(request: ClaimRequest) -> tuple[str]:
    return (request.worker if isinstance(request, ClaimTasks) else request.consumer,)
