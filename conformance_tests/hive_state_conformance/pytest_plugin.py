"""The suite in pytest: every check is a test of its own, to be chosen by `-k` and listed by its id.

In a `conftest.py`:

    pytest_plugins = ["hive_state_conformance.pytest_plugin"]

and in a test module:

    from hive_state_conformance import UrlHarness
    from hive_state_conformance.pytest_plugin import ConformanceSuite

    class TestMyBackend(ConformanceSuite):
        harness = UrlHarness("etcd://localhost/test")
        known = {"expiry.boundary": "etcd's leases count whole seconds (issue 12)"}

Instead of the attribute there may be a fixture `harness`, in the class or anywhere else, that gives a
`Harness`. No other plugin is needed: each test runs its check in an event loop of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

pytest.register_assert_rewrite("hive_state_conformance.checks")

from hive_state_conformance.checking import Check, Tier  # noqa: E402
from hive_state_conformance.harness import Harness  # noqa: E402
from hive_state_conformance.report import Status  # noqa: E402
from hive_state_conformance.runner import TIMEOUT, judge, run_check, select_checks  # noqa: E402


class ConformanceSuite:
    """Subclass it under a name that pytest collects, with a `harness`."""

    harness: Any = None
    """A Harness; or a fixture of this name that gives one."""
    known: ClassVar[Mapping[str, str]] = {}
    """Failures that are known, id -> reason: such a test is xfailed, and fails if its check passes."""
    tiers: ClassVar[tuple[Tier, ...]] = tuple(Tier)
    select: ClassVar[Sequence[str] | None] = None
    """Only these checks, as `conform` takes them; None = all."""
    timeout: ClassVar[float] = TIMEOUT

    def test_conforms(self, conformance_check: Check, harness: Harness) -> None:
        result = asyncio.run(run_check(conformance_check, harness, timeout=self.timeout))
        result = judge(result, self.known.get(conformance_check.id))
        if result.status is Status.KNOWN:
            pytest.xfail(result.reason)
        if result.status is Status.NOT_RUN:
            pytest.skip(result.reason)
        if result.status is Status.FAILED:
            if result.error is None:
                pytest.fail(result.reason, pytrace=False)
            result.error.add_note(f"Contract: {conformance_check.contract}")
            raise result.error


@pytest.fixture(name="harness")
def harness_of_the_class(request: pytest.FixtureRequest) -> Harness:
    """The attribute `harness` of a suite that has no fixture of that name."""
    harness = getattr(request.cls, "harness", None)
    if not isinstance(harness, Harness):
        pytest.fail("a suite needs a `harness`: an attribute, or a fixture that gives one", pytrace=False)
    return harness


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each check."""
    if "conformance_check" in metafunc.fixturenames and metafunc.cls is not None:
        checks = [check for check in select_checks(metafunc.cls.select) if check.tier in metafunc.cls.tiers]
        metafunc.parametrize("conformance_check", checks, ids=[check.id for check in checks])
