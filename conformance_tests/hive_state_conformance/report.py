"""What a run of the suite found."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import msgspec

from hive_state_conformance.checking import AREAS, BASE_AREAS, SUITE_VERSION, Check, Tier
from hive_state_core.features import Features


class Status(Enum):
    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused-as-declared"  #: the backend does not offer it, and says so before any I/O
    KNOWN = "known-failure"
    NOT_RUN = "not-run"


class Level(Enum):
    """Never vacuous: something must have passed in every area of the base.

    FULL  every check of the tiers that were run passed or was refused as declared, and those not run are
          ruled out by the declared features (with one process only there is no second connection)
    BASE  the same of records, keys, values, compare and set, and atomic units
    """

    NONE = "none"
    BASE = "base"
    FULL = "full"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` says why, for all but a pass. `physics`: not run because of what the backend declares."""

    check: Check
    status: Status
    reason: str = ""
    physics: bool = False
    seconds: float = 0.0
    error: BaseException | None = None

    @property
    def holds(self) -> bool:
        return self.status in (Status.PASSED, Status.REFUSED) or self.physics


class Report(msgspec.Struct, frozen=True, kw_only=True):
    store: str
    features: Features
    tiers: tuple[Tier, ...]
    results: tuple[Result, ...]
    seconds: float
    suite_version: str = SUITE_VERSION

    @property
    def level(self) -> Level:
        run = [result for result in self.results if result.check.tier in self.tiers]
        base = [result for result in run if result.check.area in BASE_AREAS]
        passed = {result.check.area for result in base if result.status is Status.PASSED}
        if passed != set(BASE_AREAS) or not all(result.holds for result in base):
            return Level.NONE
        return Level.FULL if all(result.holds for result in run) else Level.BASE

    @property
    def failures(self) -> list[Result]:
        return self.of(Status.FAILED)

    def of(self, status: Status) -> list[Result]:
        return [result for result in self.results if result.status is status]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "level": self.level.value,
            "tiers": [tier.value for tier in self.tiers],
            "suite_version": self.suite_version,
            "features": features_dict(self.features),
            "checks": {result.check.id: result.status.value for result in self.results},
            "failures": {result.check.id: result.reason for result in self.failures},
            "reasons": {
                result.check.id: result.reason
                for result in self.results
                if result.reason and result.status is not Status.FAILED
            },
            "seconds": round(self.seconds, 3),
        }

    def text(self) -> str:
        """For people."""
        lines = [f"{self.store}: conformance suite {self.suite_version}", ""]
        for area, title in AREAS.items():
            found = [result for result in self.results if result.check.area == area]
            if found:
                lines.append(f"  {area}  {title:<32} {_counts(found)}")
        for result in self.failures:
            lines += ["", f"FAILED {result.check.id}", f"  {result.check.contract}", f"  {result.reason}"]
        for status in (Status.KNOWN, Status.REFUSED, Status.NOT_RUN):
            lines += _listed(status, self.of(status))
        tiers = ", ".join(tier.value for tier in self.tiers)
        lines += [
            "",
            f"level {self.level.value}, tiers: {tiers}; {_counts(self.results)}; {self.seconds:.1f} s",
        ]
        return "\n".join(lines)


def features_dict(features: Features) -> dict[str, Any]:
    """A declaration as plain values."""
    return {
        "durability": features.durability.name.lower(),
        "sharing": features.sharing.name.lower(),
        "consistency": features.consistency.name.lower(),
        "wake": features.wake.name.lower(),
        "clock": features.clock.value,
        "facilities": sorted(facility.value for facility in features.facilities),
    }


def _counts(results: Iterable[Result]) -> str:
    found = [result.status for result in results]
    return ", ".join(f"{found.count(status)} {status.value}" for status in Status if status in found)


def _listed(status: Status, results: list[Result]) -> list[str]:
    """The checks of a status by their reason: many share one."""
    by_reason: dict[str, list[str]] = {}
    for result in results:
        by_reason.setdefault(result.reason, []).append(result.check.id)
    lines = []
    for reason, ids in by_reason.items():
        shown = ", ".join(ids[:4]) + (f" and {len(ids) - 4} more" if len(ids) > 4 else "")
        lines += ["", f"{status.value}: {reason}", f"  {shown}"]
    return lines
