"""What all tests need of the process that runs them."""

from __future__ import annotations

import signal

import coverage
import pytest

# A shell that starts the tests in the background leaves Ctrl-C ignored, also in what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """End what measures a worker before its session does: `no_cover` pauses the session's alone.

    One measurement begins with the process, and is saved at its end; one with pytest-cov.
    """
    while hasattr(config, "workerinput") and (begun := coverage.Coverage.current()) is not None:
        begun.stop()  # and not saved: each that begins erases the files of those before it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is allowed more time than usual begins first, so that in the end all workers have work."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)
