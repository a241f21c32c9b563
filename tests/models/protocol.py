"""The migration protocol as a small machine, part two: what may happen next, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .states import (
    NEW,
    OLD,
    Coordinator,
    Copier,
    Pump,
    Record,
    Rules,
    State,
    Step,
    Writer,
    at,
    cleared,
    loaded,
    spent,
)

Become = Callable[..., State]
"""A writer as it is from now on, and the rest."""


def steps(rules: Rules, state: State) -> Iterator[Step]:
    """All that may happen next."""
    for i in range(len(state.writers)):
        yield from writer_steps(rules, state, i)
    yield from copier_steps(rules, state)
    yield from pump_steps(rules, state)
    yield from sweep_steps(rules, state)
    yield from coordinator_steps(rules, state)


def writer_steps(rules: Rules, state: State, i: int) -> Iterator[Step]:
    writer = state.writers[i]

    def now(change: Writer, base: State = state) -> State:
        others = [writer for place, writer in enumerate(base.writers) if place != i]
        return base._replace(writers=tuple(sorted([change, *others], key=_order)))  # they are all alike

    if writer.step == "idle":
        yield from _begin(rules, state, i, now)
    elif writer.step == "saw":
        for live in (True, False):
            yield f"writer {i} commits {'a put' if live else 'a delete'}", _commit(rules, state, i, now, live)
    elif writer.step == "apply":
        sent = loaded(rules, state, 1 - writer.store, writer.image)
        yield f"writer {i} sends its image", now(writer._replace(step="clear"), sent)
        if state.budget.crashes:
            yield (
                f"writer {i} dies",
                now(Writer(store=writer.store, term=writer.term), spent(state, "crashes")),
            )
    elif writer.step == "clear":
        version = writer.image.version if writer.image else None
        yield (
            f"writer {i} clears",
            now(writer._replace(step="idle"), cleared(rules, state, writer.store, version)),
        )


def _order(writer: Writer) -> tuple[object, ...]:
    return writer.step, writer.store, writer.term, writer.capture, writer.image or ()


def _begin(rules: Rules, state: State, i: int, now: Become) -> Iterator[Step]:
    """It reads the control row of the store that it takes for the hive."""
    writer = state.writers[i]
    if state.budget.writes < 1:
        return
    for place in (OLD, NEW):
        store = state.stores[place]
        if store.state != "open":
            continue
        if not rules.control_in_store and place != writer.store:
            yield f"writer {i} is configured anew", now(Writer(store=place, term=store.term))
            continue
        seen = Writer("saw", place, store.term, store.capture)
        yield f"writer {i} reads the control row of {place}", now(seen)
    if not rules.control_in_store and state.stores[writer.store].state != "open":
        store = state.stores[writer.store]
        yield (
            f"writer {i} goes by its configuration",
            now(Writer("saw", writer.store, store.term, store.capture)),
        )


def _commit(rules: Rules, state: State, i: int, now: Become, live: bool) -> State:
    writer = state.writers[i]
    store = state.stores[writer.store]
    write = state.latest + 1
    term = writer.term if rules.terms else 0
    image = Record((term, store.counter + 1), live, write)
    mark = image.version if writer.capture and rules.marks else store.mark
    kept = image if live or rules.tombstones else None
    base = at(state, writer.store, record=kept, counter=store.counter + 1, mark=mark)
    base = spent(base, "writes")._replace(latest=write, latest_live=live)
    then = "apply" if writer.capture else "idle"
    return now(writer._replace(step=then, image=image), base)


def copier_steps(rules: Rules, state: State) -> Iterator[Step]:
    copier = state.copier
    source = state.stores[OLD]
    if copier.step == "ready" and source.state == "open":
        image = source.record
        if image is not None and image.version >= copier.start:
            image = None  # written since the start: it is marked
        yield "the copier reads", state._replace(copier=copier._replace(step="read", image=image))
    elif copier.step == "read":
        done = state._replace(copier=Copier("done", copier.start))
        base = done if copier.image is None else loaded(rules, done, NEW, copier.image)
        yield "the copier loads", base
        if state.budget.crashes:
            again = state._replace(copier=Copier("ready", copier.start))
            yield "the copier dies", spent(again, "crashes")


def pump_steps(rules: Rules, state: State) -> Iterator[Step]:
    pump = state.pump
    if pump.step == "idle":
        for place in (OLD, NEW):
            store = state.stores[place]
            if store.mark is not None:
                yield (
                    f"the pump reads {place}",
                    state._replace(pump=Pump("read", place, store.mark, store.record)),
                )
    elif pump.step == "read":
        sent = loaded(rules, state, 1 - pump.store, pump.image)
        yield "the pump loads", sent._replace(pump=pump._replace(step="clear", image=None))
        if state.budget.crashes:
            yield "the pump dies", spent(state._replace(pump=Pump()), "crashes")
    else:
        yield "the pump clears", cleared(rules, state, pump.store, pump.mark)._replace(pump=Pump())


def sweep_steps(rules: Rules, state: State) -> Iterator[Step]:
    if not rules.sweep_tombstones:
        return
    for place in (OLD, NEW):
        store = state.stores[place]
        if store.record is not None and not store.record.live and store.mark is None:
            yield f"a sweep in {place}", at(state, place, record=None)


def fenced(rules: Rules, state: State, place: int, exclusive: bool = True) -> bool:
    """Whether the control row of a store can be changed now: no writer that read it is under way."""
    if not rules.fence_in_write or not exclusive:
        return True
    return not any(writer.step == "saw" and writer.store == place for writer in state.writers)


def coordinator_steps(rules: Rules, state: State) -> Iterator[Step]:
    coordinator = state.coordinator
    if coordinator.step == "idle":
        yield from _capture_steps(rules, state)
        yield from _switch_steps(rules, state)
    else:
        yield from _going_on(rules, state)
        if state.budget.crashes:
            base = spent(state._replace(coordinator=Coordinator()), "crashes")
            yield "the coordinator dies", base
            if state.asleep is None:
                yield "the coordinator is paused", base._replace(asleep=coordinator)
    if state.asleep is not None and coordinator.step == "idle":
        yield "the paused one wakes", state._replace(coordinator=state.asleep, asleep=None)
    yield from _unseal_steps(rules, state)


def _capture_steps(rules: Rules, state: State) -> Iterator[Step]:
    """Capture is switched on, and the copy's start version read: under one fence, or not."""
    source, copier = state.stores[OLD], state.copier
    if source.state != "open" or source.capture:
        return
    now = (source.term, source.counter + 1)
    if not rules.start_under_fence and copier.step == "off":
        yield "the start version is read", state._replace(copier=Copier("waiting", now))
        return
    if fenced(rules, state, OLD, rules.exclusive_fence):
        begun = Copier("ready", now if rules.start_under_fence else copier.start)
        yield "capture goes on", at(state, OLD, capture=True)._replace(copier=begun)


def _switch_steps(rules: Rules, state: State) -> Iterator[Step]:
    for source, budget in ((OLD, "switches"), (NEW, "returns")):
        store = state.stores[source]
        ready = state.copier.step == "done" and store.state == "open" and getattr(state.budget, budget) > 0
        if ready and rules.seal_then_drain and fenced(rules, state, source):
            yield f"{source} is sealed", _sealed(rules, spent(state, budget), source, "sealed")
        if ready and not rules.seal_then_drain and store.mark is None:
            base = spent(state, budget)._replace(coordinator=Coordinator("measured", source, store.term))
            yield f"{source} is measured", base
        if store.state == "sealed":
            resumed = state._replace(coordinator=Coordinator("sealed", source, store.term))
            yield f"the switch of {source} is resumed", resumed
        if store.state == "moved" and state.stores[1 - source].term < store.term:
            decided = Coordinator("decided", source, store.term)
            yield f"the move of {source} is finished", state._replace(coordinator=decided)


def _sealed(rules: Rules, state: State, source: int, step: str) -> State:
    term = state.stores[source].term + 1
    sealed = at(state, source, state="sealed", term=term) if rules.control_in_store else state
    return sealed._replace(coordinator=Coordinator(step, source, term))


def _going_on(rules: Rules, state: State) -> Iterator[Step]:
    step, source, term = state.coordinator
    store = state.stores[source]
    if step == "measured" and store.state == "open" and fenced(rules, state, source):
        yield f"{source} is sealed", _sealed(rules, state, source, "drained")
    elif step == "sealed" and (store.mark is None or rules.open_unsynced):
        yield "no mark is left", state._replace(coordinator=Coordinator("drained", source, term))
    elif step == "drained":
        yield from _decide(rules, state)
    elif step == "decided":
        yield f"{1 - source} opens", _opened(rules, state)


def _decide(rules: Rules, state: State) -> Iterator[Step]:
    _, source, term = state.coordinator
    store = state.stores[source]
    decided = state._replace(coordinator=Coordinator("decided", source, term))
    if not (rules.decide and rules.control_in_store):
        yield "it goes on undecided", decided
    elif (store.state, store.term) == ("sealed", term):
        yield f"{source} has moved", at(decided, source, state="moved", capture=False)
    else:
        yield "somebody else was faster", state._replace(coordinator=Coordinator())


def _opened(rules: Rules, state: State) -> State:
    _, source, term = state.coordinator
    target = 1 - source
    done = state._replace(coordinator=Coordinator())
    if state.stores[target].term >= term and rules.control_in_store:
        return done
    if not rules.control_in_store:
        done = at(done, source, state="standby", capture=False)
    return at(done, target, state="open", term=term, capture=True)


def _unseal_steps(rules: Rules, state: State) -> Iterator[Step]:
    for source in (OLD, NEW):
        store = state.stores[source]
        if store.state == "sealed" and state.budget.unseals:
            base = spent(state, "unseals")
            yield f"{source} is un-sealed", at(base, source, state="open", term=store.term + 1)
