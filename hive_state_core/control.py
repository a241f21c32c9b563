"""The control row: what each state says to a writer, and which changes of the row are allowed.

Every driver that offers `Facility.REPLICATION` decides by these functions, under its own write fence.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from hive_state_core.errors import Conflict, HiveStateError, InvalidArgument, NotPrimary, Sealed, StoreMoved
from hive_state_core.spi import PEER, TERM_MAX, TERM_SHIFT, Control, ControlState

OPEN, SEALED = ControlState.OPEN, ControlState.SEALED
MOVED, STANDBY = ControlState.MOVED, ControlState.STANDBY

_WAYS: Final = {
    OPEN: {OPEN, SEALED, STANDBY},
    SEALED: {SEALED, OPEN, MOVED},
    MOVED: {MOVED, OPEN},
    STANDBY: {STANDBY, OPEN},
}
"""The states that may follow each."""


def term_of(version: int) -> int:
    """The term in which a version was given."""
    return version >> TERM_SHIFT


def refusal(state: ControlState, peer: str | None) -> HiveStateError | None:
    """What a write trip raises in this state; None: it may go on."""
    elsewhere, line = _place(peer)
    match state:
        case ControlState.OPEN:
            return None
        case ControlState.SEALED:
            return Sealed("the store takes no writes for a moment: the hive is being moved; try again")
        case ControlState.MOVED:
            return StoreMoved(f"the hive has moved to {elsewhere}{line}", peer=peer)
        case ControlState.STANDBY:
            return NotPrimary(f"this store is a standby, the hive lives in {elsewhere}{line}")


def _place(peer: str | None) -> tuple[str, str]:
    """Where the hive is, and what to write so that it is found there."""
    if peer is None:
        return "another store", ""
    if "://" in peer:
        return peer, f"; open that one: HIVE_STATE_URL={peer} (and its password, if it has one)"
    return f"the store {peer}", f'; open that one: use = "{peer}" in hive-state.toml'


def require_open(state: ControlState, peer: str | None) -> None:
    """Raises what `refusal` gives."""
    error = refusal(state, peer)
    if error is not None:
        raise error


def require_loadable(state: ControlState, highest: int) -> None:
    """Raises unless images up to the version `highest` may be loaded in this state."""
    if state is SEALED:
        raise Sealed("the store is sealed: images are loaded once it has moved, or is open again")
    if state is OPEN and term_of(highest) > 0:
        raise Conflict(
            "the store is open: only what is older than anything in it (term 0) is loaded, a hive goes into"
            " a standby",
            key="the control row",
        )


def require_same(store_id: str, epoch: int, expect: Control | None) -> None:
    """Raises Conflict unless this is the store, and its control row the one, that `expect` has."""
    if expect is not None and (store_id, epoch) != (expect.store_id, expect.epoch):
        raise Conflict(
            "the store is not as it was when this was begun: it was made anew, or its control row changed",
            key="the control row",
            expected=expect.epoch,
            actual=epoch,
        )


def changed(old: Control, expect: int, change: Control, *, empty: bool, undelivered: bool) -> Control:
    """The row that follows `old`, whose `version` is the highest in the store.

    empty        the store holds nothing at all, no tombstone either
    undelivered  a mark of the sink `PEER` is left

    Raises Conflict if the row or the store is not as the change expects it, InvalidArgument for a change
    that no store allows.
    """
    if old.epoch != expect:
        raise Conflict(
            f"the control row is at epoch {old.epoch}, not {expect}: somebody else changed it meanwhile,"
            " so look anew before another try",
            key="the control row",
            expected=expect,
            actual=old.epoch,
        )
    _require_way(old, change)
    _require_term(old, change)
    if change.state not in (OPEN, SEALED) and PEER in change.sinks:
        raise InvalidArgument(f"a store that is {change.state.value} has nothing to send to its peer")
    if old.state is OPEN and change.state is STANDBY and not empty:
        raise Conflict("the store holds data: only an empty one can become a standby", key="the control row")
    if old.state is SEALED and change.state is MOVED and undelivered:
        raise Conflict("what was written has not all reached the peer yet", key="the control row")
    return replace(change, store_id=old.store_id, epoch=old.epoch + 1, version=old.version)


def _require_way(old: Control, change: Control) -> None:
    if change.state not in _WAYS[old.state]:
        raise InvalidArgument(f"a store that is {old.state.value} cannot become {change.state.value}")


def _require_term(old: Control, change: Control) -> None:
    """The term never falls, grows at a seal and un-seal, and leaves room to un-seal."""
    most = TERM_MAX - 1 if change.state is SEALED else TERM_MAX
    if not old.term <= change.term <= most:
        raise InvalidArgument(
            f"the term is {old.term}; it can become {old.term} to {most}, not {change.term}"
        )
    turns = {old.state, change.state} == {OPEN, SEALED}
    if turns and change.term == old.term:
        raise InvalidArgument(f"a seal, and its end, needs a term above {old.term}")
    opens = change.state is OPEN and old.state is not OPEN
    if opens and change.term <= term_of(old.version):
        raise InvalidArgument(
            f"the store holds versions of term {term_of(old.version)}; it opens with a higher one only"
        )
