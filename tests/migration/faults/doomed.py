"""One that writes to the hive and dies at a commit: `doomed.py WHEN COMMITS`. WHEN: before, after.

It puts a number under `c`, `doomed` and says it, again and again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from hive_state_core import open_store
from hive_state_sqlite.driver import SqliteDriver


def die_at(when: str, commits: int) -> None:
    commit = SqliteDriver.commit
    left = commits

    async def mortal(self: SqliteDriver, *arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        reply = await commit(self, *arguments)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    SqliteDriver.commit = mortal  # type: ignore[method-assign]


async def main(when: str, commits: int) -> None:
    async with open_store("local", janitor=False) as hive:
        die_at(when, commits)
        number = 0
        while True:
            number += 1
            await hive.records.put("c", "doomed", number, timeout=10)
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
