"""One write to a store of the hive, by a process that may have a fate (see `fate`).

hand.py put STORE KEY VALUE
hand.py sweep STORE     as house-keeping would: the store itself, wherever the hive lives
"""

from __future__ import annotations

import asyncio
import sys

import fate

from hive_state_core import open_store
from hive_state_core.errors import NotPrimary
from hive_state_core.spi import Retention


async def put(store: str, key: str, value: str) -> None:
    async with open_store(store, janitor=False) as hive:
        await hive.records.put("c", key, value, timeout=30)


async def sweep(store: str) -> None:
    async with open_store(store, janitor=False, follow=False) as hive:
        try:
            await hive._driver.sweep(100, Retention(tombstones=0))
        except NotPrimary as refused:
            print(refused)


if __name__ == "__main__":
    fate.meet()
    asyncio.run({"put": put, "sweep": sweep}[sys.argv[1]](*sys.argv[2:]))
