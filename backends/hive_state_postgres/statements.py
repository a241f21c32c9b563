"""The SQL of this driver, in `sql/`: one function or statement a file. `hive.` is the schema of the URL."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from hive_state_postgres import capturing

_SCHEMA = re.compile(r"\bhive\.")

FUNCTIONS = (
    "fn_enter",
    "fn_enter_port",
    "fn_mark",
    "fn_bury",
    "fn_load_gone",
    "fn_is_marked",
    "fn_instant",
    "fn_lock",
    "fn_lock_streams",
    "fn_release_children",
    "fn_apply_puts",
    "fn_apply_enqueues",
    "fn_apply_completes",
    "fn_apply_appends",
    "fn_apply_acks",
    "fn_decide",
    "fn_apply_check",
    "fn_apply_record",
    "fn_apply_enqueue",
    "fn_apply_task",
    "fn_head",
    "fn_trim",
    "fn_apply_stream",
    "fn_stale_delivery",
    "fn_apply_deliveries",
    "fn_apply_batch",
    "fn_commit_flat",
    "fn_put_alone",
    "fn_enqueue_alone",
    "fn_complete_alone",
    "fn_append_alone",
    "fn_commit",
    "fn_turn_queue",
    "fn_covered_lanes",
    "fn_pick",
    "fn_lock_ready",
    "fn_pick_events",
    "fn_hand_out",
    "fn_claim",
    "fn_claim_alone",
    "fn_outcome",
    "fn_removable",
    "fn_sweep",
)
"""In the order in which they are created."""


@cache
def _load(name: str) -> str:
    return files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8").rstrip()


class Statements:
    """The texts for one schema. Only letters, digits and underscores can be in its name."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._named: dict[str, str] = {}
        self.commit_flat = self.text("commit_flat")
        self.commit = self.text("commit")
        self.claim = self.text("claim")
        self.outcome = self.text("outcome")
        self.sweep = self.text("sweep")
        self.read_records = self.text("read_records")
        self.read_mixed = self.text("read_mixed")
        self.tasks_held = self.text("tasks_held")
        self.deliveries_held = self.text("deliveries_held")
        self.stream = self.text("stream")
        self.namespace_read = self.text("namespace_read")
        self.namespace_write = self.text("namespace_write")
        self.stats_records = self.text("stats_records")
        self.stats_tasks = self.text("stats_tasks")
        self.stats_queues = self.text("stats_queues")
        self.stats_streams = self.text("stats_streams")
        self.stats_groups = self.text("stats_groups")
        self.stats_store = self.text("stats_store")

    def named(self, name: str) -> str:
        """The statement of that name."""
        return self._named.get(name) or self._named.setdefault(name, self.text(name))

    def text(self, name: str) -> str:
        return self.qualify(_load(name))

    def qualify(self, sql: str) -> str:
        """`hive.` as the name of the schema, which is quoted."""
        return _SCHEMA.sub(f'"{self.schema}".', sql)

    def creation(self) -> list[str]:
        """What makes the schema, in order."""
        return [f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"', self.text("tables"), *self.code()]

    def renewal(self) -> list[str]:
        """What makes an older schema, which has the same tables, one of today."""
        return [self.text("functions_drop"), *self.code()]

    def code(self) -> list[str]:
        """What makes all of it but the tables."""
        names = (*FUNCTIONS, "trigger_index", "views")
        return [*map(self.text, names), *map(self.qualify, capturing.creation())]
