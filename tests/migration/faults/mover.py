"""`hive-state`, with something that happens to it at a failpoint: `mover.py NAME ACTION ARGUMENTS...`.

kill  it dies there, as by kill -9
stop  it stops there, as by kill -STOP, until it gets a SIGCONT
"""

from __future__ import annotations

import os
import signal
import sys

from hive_state_core.cli import main
from hive_state_core.migration import failpoints

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def fail_at(name: str, action: str) -> None:
    if name not in failpoints.NAMES:
        raise ValueError(name)

    async def hook(reached: str) -> None:
        if reached == name:
            os.kill(os.getpid(), SIGNALS[action])

    failpoints.hook = hook


if __name__ == "__main__":
    _, name, action, *arguments = sys.argv
    fail_at(name, action)
    main(arguments, prog_name="hive-state")
