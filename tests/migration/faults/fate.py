"""What happens to a process at a failpoint, and what it lacks: said by its environment, for tests alone.

FATE      pairs of a failpoint and an action, a line each: `switch: sealed=kill`
WEAKENED  what of the protocol it does without, see `weakened`

kill  it dies there, as by kill -9
kill soon  it dies some milliseconds later, in the middle of what comes next
stop  it stops there, as by kill -STOP, until it gets a SIGCONT
"""

from __future__ import annotations

import os
import random
import signal
import threading
from typing import Any

from weakened import WEAKENINGS

from hive_state_core.migration import failpoints
from hive_state_sqlite.driver import SqliteDriver

COMMITS = ("commit: begun", "commit: done")
"""Failpoints of a process that writes: just before its first transaction, and after that."""

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def meet() -> None:
    """From now on."""
    _watch_commits()
    if lacking := os.environ.get("WEAKENED"):
        WEAKENINGS[lacking]()
    fates = dict([line.split("=") for line in os.environ.get("FATE", "").splitlines()])
    if unknown := fates.keys() - {*failpoints.NAMES, *COMMITS}:
        raise ValueError(unknown)

    async def hook(reached: str) -> None:
        if action := fates.get(reached):
            _act(action)

    failpoints.hook = hook


def _act(action: str) -> None:
    if action == "kill soon":
        threading.Timer(random.uniform(0, 0.02), os.kill, (os.getpid(), signal.SIGKILL)).start()
    else:
        os.kill(os.getpid(), SIGNALS[action])


def _watch_commits() -> None:
    commit = SqliteDriver.commit
    left = list(COMMITS)

    async def watched(self: SqliteDriver, *arguments: Any) -> Any:
        if left:
            await failpoints.reached(left.pop(0))
        reply = await commit(self, *arguments)
        if left:
            await failpoints.reached(left.pop(0))
        return reply

    SqliteDriver.commit = watched  # type: ignore[method-assign]
