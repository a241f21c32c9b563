"""The API of hive-state, blocking: for threads, scripts and frameworks without an event loop.

    from hive_state_core.sync import open_store

    with open_store("sqlite:///hive.db") as hive:
        hive.tasks.enqueue("build", {"repo": "x"})
        for lease in hive.tasks.consume("build", worker="w"):
            with lease:
                ...

Every verb is that of `hive_state_core`, with the same arguments: what is awaited there is returned here, an
asynchronous generator is an iterator (close it, or let it go), an `async with` a `with`. The work is done on
an event loop in a thread of the Store's own, two Stores share nothing, and any number of threads may use one
Store: what they ask for at the same time travels together.

- Ctrl-C cancels the call that waits, as a cancellation does in `asyncio`, and is raised. `tasks.work` lets
  the handlers that run come to their end first; a second Ctrl-C gives their tasks back, though nothing can
  end their threads.
- A block whose lease or lock is lost cannot be interrupted in a thread: it ends with LeaseLost, and can look
  at `lease.lost` meanwhile.
- After a fork the child cannot use the Store (Closed says so); it opens one of its own.

The types are in `sync.pyi`, which is made from the asynchronous ones.
"""

from __future__ import annotations

from hive_state_core.blocking import Store, open_store

__all__ = ["Store", "open_store"]
