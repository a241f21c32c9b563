"""What the random trips are about."""

from __future__ import annotations

from hive_state_core.model import GroupRef, QueueRef, RecordRef, StreamRef, TaskRef

STREAMS = [StreamRef("s"), StreamRef("t")]
GROUPS = [GroupRef(ref.stream, name) for ref in STREAMS for name in ("g", "h")]
RECORDS = [RecordRef("c", key) for key in "abcd"]
QUEUE = QueueRef("q")
TASKS = [TaskRef(f"t{n}") for n in range(12)]
LEASE = 1000
START = 1_000_000
CURRENT, WRONG = 1, 2
"""In place of versions and tokens, which differ: those that the driver gave last."""
