"""The server is killed under load, and started again on what it had synced."""

from __future__ import annotations

import logging

import pytest

from hive_state_core import open_store
from hive_state_core.embedded import Server, valkey_server
from hive_state_core.features import Durability
from tests.faults.killing import kill_under_load


@pytest.mark.timeout(240)
async def test_a_server_that_is_killed(server: Server) -> None:
    """It syncs each trip before it answers."""
    load = await kill_under_load([server], server.url)
    assert load.hive.features.durability is Durability.FSYNC


async def test_what_a_server_says_that_syncs_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """It promises no more than it keeps: a power cut takes what was acknowledged in the last second."""
    with valkey_server(fsync="everysec") as server, caplog.at_level(logging.WARNING):
        async with open_store(server.url) as hive:
            assert hive.features.durability is Durability.PROCESS
            (warning,) = (await hive.stats()).warnings
    assert "a power cut loses about a second" in warning
    assert "appendfsync always" in caplog.text
