"""A program that draws on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress


def run_on_terminal(*args: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run it with a terminal as its stderr, for at most 100 s; what it answered, and what it drew."""
    ours, theirs = pty.openpty()
    with ThreadPoolExecutor(1) as reader:
        drawn = reader.submit(_read, ours)
        try:
            done = subprocess.run(args, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=100)
        finally:
            os.close(theirs)
        return done, drawn.result(10)


def _read(ours: int) -> str:
    """All that is drawn, while it is drawn: who writes to a terminal that nobody reads soon waits."""
    drawn = bytearray()
    with suppress(OSError):  # EIO: everybody who had its other end has closed it
        while more := os.read(ours, 65_536):
            drawn += more
    os.close(ours)
    return drawn.decode()
