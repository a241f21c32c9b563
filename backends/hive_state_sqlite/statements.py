"""The SQL of this driver: one statement a file, in `sql/`, by the file's name."""

from __future__ import annotations

from importlib.resources import files


def _load(name: str) -> str:
    return files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


SCHEMA = _load("schema")
CONTROL_READ = _load("control_read")
CONTROL_WRITE = _load("control_write")
RECORDS_READ = _load("records_read")
RECORDS_STATE = _load("records_state")
RECORD_PUT = _load("record_put")
RECORD_DELETE = _load("record_delete")
RECORD_TOUCH = _load("record_touch")
TASK_INSERT = _load("task_insert")
TASK_UPDATE = _load("task_update")
TASKS_READ = _load("tasks_read")
TASKS_STATE = _load("tasks_state")
TASKS_DEDUPE = _load("tasks_dedupe")
TASKS_NEXT_LANE = _load("tasks_next_lane")
TASKS_CHILDREN = _load("tasks_children")
TASKS_READY = _load("tasks_ready")
TASKS_OVERDUE = _load("tasks_overdue")
TASKS_PROMOTE = _load("tasks_promote")
TASKS_NEXT_DUE = _load("tasks_next_due")
QUEUE_READ = _load("queue_read")
QUEUE_WRITE = _load("queue_write")
COMMIT_READ = _load("commit_read")
COMMIT_WRITE = _load("commit_write")
CONTROL_CLOCK = _load("control_clock")
STATS_RECORDS = _load("stats_records")
STATS_TASKS = _load("stats_tasks")
STATS_OLDEST = _load("stats_oldest")
SWEEP_RECORDS = _load("sweep_records")
SWEEP_TOMBSTONES = _load("sweep_tombstones")
SWEEP_TASKS = _load("sweep_tasks")
SWEEP_COMMITS = _load("sweep_commits")
