"""What a check left behind: tasks of the event loop, and threads."""

from __future__ import annotations

import asyncio
import threading

GRACE = 2.0
"""Seconds in which what was told to end may end."""

LOOP_THREADS = "asyncio_"
"""Threads of the event loop's own pool (`asyncio.to_thread`) live as long as the loop."""


class Traces:
    """What was there before a check."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._threads = set(threading.enumerate())

    async def left_behind(self) -> str | None:
        """What is there now and was not before, in words; None = nothing."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + GRACE
        while (found := self._found()) and clock() < deadline:
            await asyncio.sleep(0.005)
        return f"left behind after close: {', '.join(found)}" if found else None

    def _found(self) -> list[str]:
        tasks = asyncio.all_tasks() - self._tasks
        threads = [
            thread
            for thread in threading.enumerate()
            if thread not in self._threads and not thread.name.startswith(LOOP_THREADS)
        ]
        return [f"task {task.get_name()} ({task.get_coro()!r})" for task in tasks] + [
            f"thread {thread.name}" for thread in threads
        ]
