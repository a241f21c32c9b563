"""The cache protocol as a small machine, part three: what may happen next, and who does it."""

from __future__ import annotations

from collections.abc import Iterator

from .cache_server import answers, drop, entry_of, holder_of, push, put, unused_lease
from .cache_states import (
    BEAT,
    BOUND,
    WRITTEN,
    Beat,
    Caller,
    Fast,
    Near,
    Relay,
    Rules,
    State,
    Step,
    Store,
    caller,
    durable,
    fast,
    spent,
    store,
)

PUSHES = 2
"""Of one Store that are under way at most, so that the search has an end."""


def steps(rules: Rules, state: State) -> Iterator[Step]:
    """All that may happen next."""
    for i in range(len(state.callers)):
        yield from caller_steps(rules, state, i)
    for s in range(len(state.stores)):
        yield from store_steps(rules, state, s)
    yield from relay_steps(rules, state)
    yield from server_steps(state)
    yield "a tick", tick(rules, state)


# --- callers


def caller_steps(rules: Rules, state: State, i: int) -> Iterator[Step]:
    """A read asks the cache in the moment in which it begins, and what need not be late is told at once: the
    others would see no more of it if it took longer."""
    now, s = state.callers[i], state.store_of(i)
    if now.step == "idle":
        yield from _read(rules, state, i, s)
        if state.budget.writes and len(state.stores[s].pushes) < PUSHES:
            yield from _commit(rules, state, i, s)
    elif now.step == "read" and len(state.stores[s].pushes) < PUSHES:
        read = state.durable.latest
        has = caller(state, i, step="push", version=read, use=BOUND if rules.near else 0)
        yield f"{i} reads {read} from the durable store", has if rules.waits else _owing(rules, has, i, s)
    elif now.step in ("push", "put"):
        yield from _send(rules, state, i, s)
    elif now.step == "stuck" and state.stores[s].fence == 0:
        yield f"{i} has waited", _answered(rules, state, i, s)
    elif now.step == "told":
        yield f"{i} is told {now.version}", _told(rules, state, i, s)


def _read(rules: Rules, state: State, i: int, s: int) -> Iterator[Step]:
    must, ours = _must(rules, state, s), state.stores[s]
    if ours.near is not None and ours.near.use:
        hit = caller(state, i, version=ours.near.version, must=must)
        yield f"{i} reads {ours.near.version} nearby", _returned(hit, i, s)
        return
    if ours.fence == 0 or rules.beside:
        yield f"{i} reads beside the cache", caller(state, i, step="read", must=must)
    if ours.fence != 0:
        owed = max(ours.owed if rules.owes else 0, ours.beside[0])
        yield from _ask(rules, caller(state, i, owed=owed, must=must), i, s)


def _must(rules: Rules, state: State, s: int) -> int:
    """The level's guarantee: a read that begins now returns this version or a newer one."""
    if rules.waits:
        return state.told
    old = [version for version, age in enumerate(state.durable.ages, 1) if age >= BOUND]
    return max([state.stores[s].seen, *(old if rules.gated else ())])


def _commit(rules: Rules, state: State, i: int, s: int) -> Iterator[Step]:
    version, ages = state.durable.latest + 1, state.durable.ages
    base = durable(
        spent(state, "writes"),
        latest=version,
        mark=version if rules.marks else 0,
        ages=ages if rules.waits else (*ages, 0),
    )
    if rules.waits:
        yield f"{i} commits {version}", caller(base, i, step="put", version=version)
        return
    writes = caller(base, i, version=version, lease=WRITTEN)
    yield f"{i} commits {version}", _answered(rules, writes, i, s)
    if rules.near:
        known = caller(writes, i, step="told", use=BOUND)
        yield f"{i} commits {version}, and knows the whole record", known


def _owing(rules: Rules, state: State, i: int, s: int) -> State:
    """A read is told before it is pushed."""
    now, ours = state.callers[i], state.stores[s]
    if rules.beside and not now.lease:
        beside = (max(now.version, ours.beside[0]), BOUND) if rules.remembers else (0, 0)
        return _answered(rules, store(state, s, beside=beside), i, s)
    pushes = (*ours.pushes, (now.version, now.lease))
    state = store(state, s, owed=max(ours.owed, now.version), pushes=pushes)
    return _answered(rules, state, i, s)


def _ask(rules: Rules, state: State, i: int, s: int) -> Iterator[Step]:
    beat = state.fast.beat
    usable, there = answers(rules, state, s), entry_of(rules, state)
    if state.stores[s].doubt and beat is not None and beat.run == state.fast.run and s not in beat.late:
        state = store(state, s, doubt=False)
    if usable and there is not None and (there >= state.callers[i].owed or not rules.owed_when_asked):
        hit = caller(state, i, version=there, use=_left(rules, state) if rules.near else 0)
        yield f"{i} hits {there}", _answered(rules, hit, i, s)
    elif usable and there is None and not holder_of(rules, state):
        lease = unused_lease(state)
        leased = caller(fast(state, entry=None, lease=(lease, state.fast.run)), i, step="read", lease=lease)
        yield f"{i} misses, and gets the lease", leased
    else:
        yield f"{i} misses", caller(state, i, step="read")


def _left(rules: Rules, state: State) -> int:
    """Ticks for which what the cache tells now may be told."""
    beat = state.fast.beat
    if beat is None or not (rules.gated and rules.near_from_beat):
        return BOUND
    return BOUND - BEAT + beat.left


def _send(rules: Rules, state: State, i: int, s: int) -> Iterator[Step]:
    """Of what it read or wrote, to the cache."""
    now, ours = state.callers[i], state.stores[s]
    if ours.fence == 0:
        yield f"{i} has nobody to push to", _answered(rules, state, i, s)
        return
    reads = now.step == "push"
    sent = push(rules, state, now.version, now.lease) if reads else put(rules, state, now.version)
    if not reads:
        sent = store(sent, s, told=now.version)
        gone = store(drop(rules, state, now.version), s, told=now.version)
        yield f"{i} drops what is older than {now.version}", _answered(rules, gone, i, s)
    yield f"{i} pushes {now.version}", _answered(rules, sent, i, s)
    if state.budget.failures:
        failed = spent(state, "failures")
        if not reads and not rules.settles_pushed:
            failed = store(failed, s, told=now.version)
        failed = _fenced(failed, s) if rules.waits else _doubting(failed, s)
        waits = rules.waits and (rules.read_waits if reads else rules.write_waits)
        then = caller(failed, i, step="stuck", lease=0) if waits else _answered(rules, failed, i, s)
        yield f"{i} fails to push {now.version}", then


def _answered(rules: Rules, state: State, i: int, s: int) -> State:
    if state.callers[i].lease != WRITTEN:
        state = caller(state, i, lease=0)
    return caller(state, i, step="told") if rules.near else _told(rules, state, i, s)


def _fenced(state: State, s: int) -> State:
    """The Store says in the durable store that it is cut off."""
    if state.stores[s].fence is not None:
        return state
    return durable(store(state, s, fence=BEAT), fences=state.durable.fences | {s})


def _doubting(state: State, s: int) -> State:
    beat, relay = state.fast.beat, state.relay
    late = relay._replace(late=relay.late | {s}) if relay.step != "idle" else relay
    if beat is not None:
        state = fast(state, beat=beat._replace(late=beat.late | {s}))
    return store(state, s, doubt=True)._replace(relay=late)


def _told(rules: Rules, state: State, i: int, s: int) -> State:
    """A read or a write, to its caller."""
    now, ours = state.callers[i], state.stores[s]
    if now.lease == WRITTEN:
        pushes = (*ours.pushes, (now.version, WRITTEN))
        state = store(state, s, owed=max(ours.owed, now.version), pushes=pushes)
    elif not rules.owed_when_asked and now.version < ours.owed:
        return caller(state, i, step="read", use=0)
    if rules.near and (now.lease != WRITTEN or rules.near_yields):
        state = store(state, s, near=_kept(rules, now, ours.near))
    return _returned(state, i, s)


def _kept(rules: Rules, now: Caller, near: Near | None) -> Near | None:
    """What is near once this was told. The newest is known at least."""
    if near is not None and now.version < near.version and rules.near_guarded:
        return near
    use = 0 if now.closed and rules.near_closes else now.use
    if near is not None and now.version == near.version:
        use = max(use, near.use)
    return Near(now.version, use, BOUND)


def _returned(state: State, i: int, s: int) -> State:
    now = state.callers[i]
    done = caller(state, i, **Caller()._asdict())
    if now.version < now.must:
        return done._replace(wrong=f"a read returns {now.version}, and must not return less than {now.must}")
    return _seen(done, s, now.version)


def _seen(state: State, s: int, version: int) -> State:
    seen = max(state.stores[s].seen, version)
    return store(state, s, seen=seen)._replace(told=max(state.told, version))


# --- Stores


def store_steps(rules: Rules, state: State, s: int) -> Iterator[Step]:
    ours = state.stores[s]
    for place, (version, lease) in enumerate(ours.pushes):
        rest = (*ours.pushes[:place], *ours.pushes[place + 1 :])
        owed = 0 if ours.owed == version else ours.owed
        done = store(state, s, pushes=rest, owed=owed)
        told = store(done, s, told=version) if lease == WRITTEN else done
        sent = push(rules, told, version, lease) if lease != WRITTEN else put(rules, told, version)
        yield f"Store {s} pushes {version}", sent
        if lease == WRITTEN:
            yield f"Store {s} drops what is older than {version}", drop(rules, told, version)
        if state.budget.failures:
            failed = _doubting(spent(done if rules.settles_pushed else told, "failures"), s)
            yield f"Store {s} fails to push {version}", failed
    if ours.told:
        mark = state.durable.mark
        settled = durable(state, mark=0) if mark == ours.told or not rules.clears_by_version else state
        yield f"Store {s} clears the mark {ours.told}", store(settled, s, told=0)
    if ours.fence and not state.durable.on:
        yield f"Store {s} sees that no cache may answer", store(state, s, fence=0)
    waited = ours.fence == 0 or (ours.fence and not rules.off_when_waited)
    if waited and state.durable.on and s in state.durable.fences:
        yield f"Store {s} says that no cache may answer", durable(state, on=False)
    if ours.fence == 0 and s in state.durable.fences:
        unfenced = durable(state, fences=state.durable.fences - {s})
        ends = store(unfenced, s, fence=None) if rules.pushes_unfenced else unfenced
        yield f"Store {s} takes its fence away", ends
    elif ours.fence == 0:
        yield f"Store {s} pushes again", store(state, s, fence=None)
    elif ours.fence is None and s in state.durable.fences:
        yield f"the fence of Store {s} ends", durable(state, fences=state.durable.fences - {s})
    if state.budget.evictions and ours.near is not None:
        yield f"Store {s} makes room", _made_room(spent(state, "evictions"), s)
    if state.budget.crashes:
        yield f"Store {s} dies", _dead(spent(state, "crashes"), s)


def _made_room(state: State, s: int) -> State:
    """What is near is thrown away, and what was asked for before will not be told from there."""
    for i, one in enumerate(state.callers):
        if one.step != "idle" and state.store_of(i) == s:
            state = caller(state, i, closed=True)
    return store(state, s, near=None)


def _dead(state: State, s: int) -> State:
    """Another takes its place, and was told nothing yet."""
    own = [i for i in range(len(state.callers)) if state.store_of(i) == s]
    for i in own:
        state = caller(state, i, **Caller()._asdict())
    return store(state, s, **Store()._asdict())


# --- the relay, the server, time


def relay_steps(rules: Rules, state: State) -> Iterator[Step]:
    relay, mark = state.relay, state.durable.mark
    if relay.step == "idle":
        yield "the relay begins", state._replace(relay=Relay("began" if rules.fences_first else "heard"))
    elif relay.step == "began":
        yield from _hear(rules, state)
    elif relay.step == "off":
        then = "began" if rules.announces_first else "heard" if rules.fences_first else "drained"
        said = durable(state, on=True)
        yield "the relay says that the cache may answer", said._replace(relay=relay._replace(step=then))
    elif relay.step == "heard":
        step = "marked" if mark else "drained" if rules.fences_first else "began"
        reads = state._replace(relay=relay._replace(step=step, mark=mark))
        yield f"the relay reads the mark {mark}", reads
    elif relay.step == "marked":
        gone = drop(rules, state, relay.mark)
        then = relay._replace(step="dropped")
        yield f"the relay drops what is older than {relay.mark}", gone._replace(relay=then)
        if not rules.beats_drained or any(own.told == relay.mark for own in state.stores):
            yield "the relay leaves the mark", state._replace(relay=relay._replace(step="drained"))
    elif relay.step == "dropped":
        same = mark == relay.mark or not rules.clears_by_version
        cleared = durable(state, mark=0) if same else state
        yield "the relay clears the mark", cleared._replace(relay=relay._replace(step="heard", mark=0))
    elif relay.cut:
        yield "the relay does not beat", state._replace(relay=Relay())
    elif relay.step == "drained":
        left = BEAT - (relay.age if rules.beats_from_before else 0)
        beat = Beat(left, state.fast.run, relay.late)
        yield "the relay beats", fast(state, beat=beat)._replace(relay=Relay())
    if state.budget.crashes:
        yield "the relay dies", spent(state, "crashes")._replace(relay=Relay())


def _hear(rules: Rules, state: State) -> Iterator[Step]:
    """Of fences. If there is none, the relay says first that the cache may answer, and looks again."""
    relay = state.relay._replace(step="heard" if rules.fences_first else "drained")
    if state.durable.fences and rules.fence_heard:
        yield "the relay hears of a fence", state._replace(relay=relay._replace(cut=True))
    elif state.durable.on or not rules.announces:
        yield "the relay hears of no fence", state._replace(relay=relay)
    else:
        yield "the relay hears of nothing", state._replace(relay=relay._replace(step="off"))


def server_steps(state: State) -> Iterator[Step]:
    if state.budget.evictions and (state.fast.entry or state.fast.lease):
        yield "the server evicts", fast(spent(state, "evictions"), entry=None, lease=None)
    if state.budget.restarts:
        if state.saved is None:
            yield "the server saves", state._replace(saved=state.fast)
        run = state.fast.run + 1
        restarted = spent(state, "restarts")
        yield "the server is restarted empty", restarted._replace(fast=Fast(run=run))
        if state.saved is not None:
            yield (
                "the server is restarted with what it saved",
                restarted._replace(fast=state.saved._replace(run=run)),
            )


def tick(rules: Rules, state: State) -> State:
    stores = tuple(
        own._replace(
            fence=own.fence and own.fence - 1,
            near=_older(own.near) if rules.near_ends else own.near,
            beside=(own.beside[0], own.beside[1] - 1) if own.beside[1] > 1 else (0, 0),
        )
        for own in state.stores
    )
    callers = tuple(
        one._replace(use=one.use - 1) if one.use and rules.near_from_before else one for one in state.callers
    )
    relay = state.relay
    if relay.step != "idle":
        relay = relay._replace(age=min(BEAT, relay.age + 1))
    ages = tuple(min(BOUND, age + 1) for age in state.durable.ages)
    saved = state.saved and state.saved._replace(beat=_fading(state.saved.beat))
    ticked = fast(durable(state, ages=ages), beat=_fading(state.fast.beat))
    return ticked._replace(stores=stores, callers=callers, relay=relay, saved=saved)


def _fading(beat: Beat | None) -> Beat | None:
    return beat and beat._replace(left=max(0, beat.left - 1))


def _older(near: Near | None) -> Near | None:
    if near is None or near.guard <= 1:
        return None
    return near._replace(use=max(0, near.use - 1), guard=near.guard - 1)
