"""Run by test_leftovers.py: holds a server until a signal comes. Usage: holder.py sync|async|fork|valkey

It says "starting", and then the pid and the directory of the server. `fork`: a child, forked while the
server runs, outlives this process. `valkey`: not a PostgreSQL but a Valkey.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from hive_state_core.embedded import Server, postgres_server, valkey_server


def say(*words: object) -> None:
    print(*words, flush=True)


def announce(server: Server) -> None:
    assert server.socket_directory
    say(server.pid, server.socket_directory.parent)


def hold(fork: bool) -> None:
    say("starting")
    with postgres_server(fsync=False) as server:
        if fork and os.fork() == 0:
            os.setsid()
            time.sleep(5)
            os._exit(0)
        announce(server)
        time.sleep(60)


def hold_valkey() -> None:
    say("starting")
    with valkey_server() as server:
        announce(server)
        time.sleep(60)


async def hold_async() -> None:
    say("starting")
    async with postgres_server(fsync=False) as server:
        announce(server)
        await asyncio.sleep(60)


if __name__ == "__main__":
    match sys.argv[1]:
        case "async":
            asyncio.run(hold_async())
        case "valkey":
            hold_valkey()
        case mode:
            hold(mode == "fork")
