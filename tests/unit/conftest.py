"""What the tests of the facets share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hive_state_core import Store, open_store


@pytest.fixture
async def hive() -> AsyncIterator[Store]:
    async with open_store("memory://") as store:
        yield store
