"""What a row of the file has to look like in the store, said a second time and in other words.

Nothing of the importer is used here, so that a mistake there is not made here too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

Values = dict[str, Any]

STATES = {
    "pending": "ready",
    "assigned": "leased",
    "in_progress": "leased",
    "completed": "completed",
    "failed": "dead",
}
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
GRACE = timedelta(minutes=10)


class Expecting:
    """`rules` as the import was told; `zone` None: the machine's own."""

    def __init__(self, rules: Mapping[str, str], zone: tzinfo | None) -> None:
        self._rules = rules
        self._zone = zone

    def agent(self, row: sqlite3.Row) -> Values:
        metrics = self._json(row, "performance_metrics", {})
        usage = _cell(row, "context_usage")
        return {
            "status": row["status"],
            "capabilities": list(dict.fromkeys(self._json(row, "capabilities", []))),
            "current_task": _cell(row, "current_task_id") or None,
            "context_usage": None if usage in (None, float("inf"), float("-inf")) else float(usage),
            "metadata": {"performance_metrics": metrics} if metrics else {},
            "updated_at": self._moment(row, "last_activity") or ALWAYS,
        }

    def task(self, row: sqlite3.Row) -> Values:
        status = row["status"]
        state = STATES[status] if status in STATES else STATES[self._rules["unknown_status"]]
        created, agent = self._moment(row, "created_at") or ALWAYS, _cell(row, "agent_id") or None
        started, ended = self._moment(row, "started_at"), self._moment(row, "completed_at")
        priority = _cell(row, "priority")
        return {
            "state": state,
            "priority": 5 if priority is None else priority,
            "payload": self._json(row, "metadata", {}),
            "created_at": created,
            "finished_at": (ended or started or created) if state in ("completed", "dead") else None,
            "worker": (agent or "unknown") if state == "leased" else None,
            "lease_until": (started or created) + GRACE if state == "leased" else None,
            "note": {"agent_id": agent, "started_at": started, "status": status},
        }

    def checkpoint(self, row: sqlite3.Row) -> Values:
        return {"data": self._json(row, "data", None), "at": self._moment(row, "timestamp") or ALWAYS}

    def snapshot(self, row: sqlite3.Row) -> Values:
        data = {name.lower(): row[name] for name in row.keys() if name.lower() in _COUNTS}  # noqa: SIM118
        return {"data": data, "at": self._moment(row, "timestamp") or ALWAYS}

    def _json(self, row: sqlite3.Row, column: str, default: Any) -> Any:
        text = _cell(row, column)
        if text is None:
            return default
        value = json.loads(text, parse_constant=self._no_number, parse_float=self._float)
        whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return json.loads(whole.decode("utf-16", "replace"))

    def _no_number(self, text: str) -> str | None:
        return text if self._rules["nan"] == "string" else None

    def _float(self, text: str) -> float | str | None:
        number = float(text)
        return number if abs(number) != float("inf") else self._no_number(text)

    def _moment(self, row: sqlite3.Row, column: str) -> datetime | None:
        """With whole milliseconds; None for what is no time."""
        try:
            local = datetime.fromisoformat(_cell(row, column).strip())
            if local.tzinfo is None and self._zone is not None:
                local = local.replace(tzinfo=self._zone)
            whole = datetime.fromtimestamp(local.replace(microsecond=0).timestamp(), UTC)
        except (AttributeError, ValueError, TypeError, OverflowError, OSError):
            return None
        return whole.replace(microsecond=local.microsecond - local.microsecond % 1000)


_COUNTS = {
    "total_agents",
    "active_agents",
    "total_tasks",
    "completed_tasks",
    "failed_tasks",
    "average_context_usage",
    "quality_score",
}


def _cell(row: sqlite3.Row, column: str) -> Any:
    """None for a column that the file does not have."""
    return row[column] if any(name.lower() == column for name in row.keys()) else None  # noqa: SIM118
