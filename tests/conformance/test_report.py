"""The level of a report is never better than what was found."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hive_state_conformance.checking import BASE_AREAS, Check, Tier, all_checks
from hive_state_conformance.report import Level, Report, Result, Status
from hive_state_core.features import Clock, Consistency, Durability, Features, Sharing, Wake

FEATURES = Features(
    durability=Durability.FSYNC,
    sharing=Sharing.HOST,
    consistency=Consistency.LINEARIZABLE,
    wake=Wake.POLL,
    clock=Clock.HOST,
    facilities=frozenset(),
)


def report(special: dict[str, Result] | None = None, *, tiers: tuple[Tier, ...] = tuple(Tier)) -> Report:
    """All checks passed, but for the first of each area that is named."""
    left = dict(special or {})
    results = []
    for check in all_checks():
        result = left.pop(check.area, None)
        results.append(replace(result or passed(check), check=check))
    return Report(store="x://", features=FEATURES, tiers=tiers, results=tuple(results), seconds=1.0)


def passed(check: Check) -> Result:
    return Result(check=check, status=Status.PASSED)


def found(status: Status, *, physics: bool = False) -> Result:
    return Result(check=all_checks()[0], status=status, physics=physics, reason="why")


def test_everything_passed_is_full() -> None:
    assert report().level is Level.FULL


@pytest.mark.parametrize("status", [Status.FAILED, Status.KNOWN, Status.NOT_RUN])
def test_outside_the_base_it_caps_at_base(status: Status) -> None:
    assert report({"I": found(status)}).level is Level.BASE


@pytest.mark.parametrize("status", [Status.FAILED, Status.KNOWN, Status.NOT_RUN])
@pytest.mark.parametrize("area", BASE_AREAS)
def test_in_the_base_it_caps_at_none(status: Status, area: str) -> None:
    assert report({area: found(status)}).level is Level.NONE


def test_physics_and_declared_refusals_cost_nothing() -> None:
    special = {"A": found(Status.NOT_RUN, physics=True), "I": found(Status.REFUSED)}
    assert report(special).level is Level.FULL


def test_nothing_run_is_none() -> None:
    results = tuple(Result(check=check, status=Status.NOT_RUN) for check in all_checks())
    assert replace(report(), results=results).level is Level.NONE
    assert replace(report(), results=()).level is Level.NONE


def test_all_ruled_out_by_physics_is_none() -> None:
    results = tuple(Result(check=check, status=Status.NOT_RUN, physics=True) for check in all_checks())
    assert replace(report(), results=results).level is Level.NONE


def test_a_whole_area_of_the_base_left_out_is_none() -> None:
    results = tuple(result for result in report().results if result.check.area != "C")
    assert replace(report(), results=results).level is Level.NONE


def test_races_alone_are_none_and_a_tier_not_run_does_not_count() -> None:
    unrun = tuple(
        result if result.check.tier is Tier.SEMANTIC else replace(result, status=Status.NOT_RUN)
        for result in report().results
    )
    assert replace(report(tiers=(Tier.SEMANTIC,)), results=unrun).level is Level.FULL
    assert replace(report(), results=unrun).level is not Level.FULL
    assert report(tiers=(Tier.RACE,)).level is Level.NONE


def test_dict_has_what_is_promised() -> None:
    given = report({"I": found(Status.FAILED), "G": found(Status.NOT_RUN)})
    shown = given.to_dict()
    assert {"level", "tiers", "suite_version", "features", "checks"} <= set(shown)
    assert set(shown["checks"]) == {check.id for check in all_checks()}
    assert set(shown["checks"].values()) == {"passed", "failed", "not-run"}
    assert list(shown["failures"].values()) == ["why"]
    assert shown["features"]["durability"] == "fsync"


def test_text_names_failures_with_their_contract() -> None:
    given = report({"I": found(Status.FAILED), "G": found(Status.KNOWN)})
    (failure,) = given.failures
    text = given.text()
    assert f"FAILED {failure.check.id}\n  {failure.check.contract}\n  why" in text
    assert "known-failure: why" in text
    assert "level base" in text
