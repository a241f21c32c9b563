"""`hive-state`, with something that happens to it at a failpoint: `mover.py NAME ACTION ARGUMENTS...`.

kill  it dies there, as by kill -9
kill soon  it dies some milliseconds later, in the middle of what comes next
stop  it stops there, as by kill -STOP, until it gets a SIGCONT
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading

from weakened import WEAKENINGS

from hive_state_core.cli import main
from hive_state_core.migration import failpoints

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def fail_at(name: str, action: str) -> None:
    if name not in failpoints.NAMES:
        raise ValueError(name)

    async def hook(reached: str) -> None:
        if reached == name and action == "kill soon":
            threading.Timer(random.uniform(0, 0.02), os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif reached == name:
            os.kill(os.getpid(), SIGNALS[action])

    failpoints.hook = hook


if __name__ == "__main__":
    _, name, action, *arguments = sys.argv
    if lacking := os.environ.get("WEAKENED"):
        WEAKENINGS[lacking]()
    fail_at(name, action)
    main(arguments, prog_name="hive-state")
