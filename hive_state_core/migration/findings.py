"""What stands in the way of a switch: found by those who send, compare or read, and kept in the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from hive_state_core.model import EntityRef
from hive_state_core.spi import Replication

FINDINGS = "migration/findings"
MOST = 100
"""So many are kept; what stands in the way of a switch needs not be known in full."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """poison    what the other store would not take, and why
    wrong        what does not mend itself: not there as it was sent, or found different by a comparison
    verified_at  instant of the source at which all was found equal last; None: never
    compared     images that were compared then
    repaired     images that were lost, and were sent once more
    waived       what stays behind, because somebody said so
    shadowed     reads that were repeated on the other store, and `shadow_wrong` of them differed in the end
    given_up     switches in a row that were given up
    """

    poison: dict[str, str] = {}
    wrong: dict[str, str] = {}
    verified_at: int | None = None
    compared: int = 0
    repaired: int = 0
    waived: frozenset[str] = frozenset()
    shadowed: int = 0
    shadow_wrong: int = 0
    given_up: int = 0

    @property
    def clean(self) -> bool:
        return not self.poison and not self.wrong


async def read_findings(port: Replication) -> Findings:
    return _decoded((await port.notes()).get(FINDINGS))


async def change_findings(port: Replication, change: Callable[[Findings], Findings]) -> Findings:
    """What is kept from now on. Others may add to it at the same time."""
    while True:
        old = (await port.notes()).get(FINDINGS)
        new = change(_decoded(old))
        if await port.note({FINDINGS: msgspec.json.encode(new)}, expect={FINDINGS: old}):
            return new


async def add_stuck(
    port: Replication, poison: Mapping[EntityRef, str], wrong: Mapping[EntityRef, str]
) -> None:
    """What a pump could not send."""

    def change(old: Findings) -> Findings:
        return replace(old, poison=_more(old.poison, poison), wrong=_more(old.wrong, wrong))

    await change_findings(port, change)


def told(ref: EntityRef) -> str:
    """In words: record agents / planner-1."""
    kind = type(ref).__name__.removesuffix("Ref").lower()
    return f"{kind} {' / '.join(map(str, msgspec.structs.astuple(ref)))}"


def _more(old: Mapping[str, str], found: Mapping[EntityRef, str]) -> dict[str, str]:
    merged = {**old, **{told(ref): why for ref, why in found.items()}}
    return dict(list(merged.items())[:MOST])


def _decoded(data: bytes | None) -> Findings:
    return Findings() if data is None else msgspec.json.decode(data, type=Findings)
