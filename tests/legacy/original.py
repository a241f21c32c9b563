"""A program that knows nothing of hive-state: `original.py FILE SEED [SLOTS]`, the original manager's writes.

Each statement in a transaction of its own, on a connection of its own. It says at once what was done, a line
of JSON each: [table, key, status], or null for a row that is gone; ["refused", text, 0] for what failed. With
SLOTS the table `agents` has one more column, which is UNIQUE, and REPLACE takes rows away by it. It ends once
something comes by its stdin.
"""

from __future__ import annotations

import json
import random
import select
import sqlite3
import sys
from contextlib import closing
from datetime import datetime
from typing import Any

AGENT = "INSERT OR REPLACE INTO agents ({}) VALUES ({})"
COLUMNS = ["agent_id", "status", "current_task_id", "context_usage", "last_activity", "capabilities"]
COLUMNS += ["performance_metrics"]
TASK = "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def now() -> str:
    return datetime.now().isoformat()  # noqa: DTZ005  as the original did


class Original:
    def __init__(self, path: str, seed: str, slots: int) -> None:
        self.path = path
        self.seed = seed
        self.slots = slots
        self.random = random.Random(seed)

    def write(self, sql: str, *values: Any) -> int:
        """The number of the last row. Raises sqlite3.Error."""
        with closing(sqlite3.connect(self.path)) as db:
            done = db.execute(sql, values)
            db.commit()
            return int(done.lastrowid or 0)

    def read(self, sql: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(sql, values).fetchall()

    def say(self, table: str, key: Any, status: Any) -> None:
        print(json.dumps([table, key, status]), flush=True)

    def step(self) -> None:
        id = f"{self.seed}-{self.random.randrange(30)}"
        self.random.choice((self.agent, self.update_agent, self.task, self.update_task, self.tail))(id)

    def agent(self, id: str) -> None:
        columns, values = list(COLUMNS), [id, "idle", None, 0.0, now(), '["plan"]', "{}"]
        if not self.slots:
            self.write(AGENT.format(", ".join(columns), ", ".join("?" * 7)), *values)
            self.say("agents", id, "idle")
            return
        slot = self.random.randrange(self.slots)
        before = self.read("SELECT agent_id FROM agents WHERE slot = ? AND agent_id <> ?", slot, id)
        columns.append("slot")
        self.write(AGENT.format(", ".join(columns), ", ".join("?" * 8)), *values, slot)
        for (other,) in before:
            self.say("agents", other, None)
        self.say("agents", id, "idle")

    def update_agent(self, id: str) -> None:
        status = self.random.choice(["working", "blocked"])
        self.write("UPDATE agents SET status = ?, last_activity = ? WHERE agent_id = ?", status, now(), id)
        found = self.read("SELECT status FROM agents WHERE agent_id = ?", id)
        if found:
            self.say("agents", id, found[0][0])

    def task(self, id: str) -> None:
        self.write(TASK, id, "pending", None, 3, now(), None, None, json.dumps({"by": self.seed}))
        self.say("tasks", id, "pending")

    def update_task(self, id: str) -> None:
        status = self.random.choice(["completed", "failed"])
        self.write("UPDATE tasks SET status = ?, completed_at = ? WHERE task_id = ?", status, now(), id)
        found = self.read("SELECT status FROM tasks WHERE task_id = ?", id)
        if found:
            self.say("tasks", id, found[0][0])

    def tail(self, id: str) -> None:
        """A checkpoint, and now and then the clean-up: all but the newest ten, and a task that has ended."""
        insert = "INSERT INTO checkpoints (checkpoint_name, timestamp, data) VALUES (?, ?, ?)"
        number = self.write(insert, self.seed, now(), json.dumps({"by": id}))
        self.say("checkpoints", number, self.seed)
        if self.random.random() < 0.2:
            kept = "SELECT id FROM checkpoints WHERE checkpoint_name = ? ORDER BY timestamp DESC LIMIT 10"
            delete = f"DELETE FROM checkpoints WHERE checkpoint_name = ? AND id NOT IN ({kept})"
            self.write(delete, self.seed, self.seed)
            self.write("DELETE FROM tasks WHERE task_id = ? AND status IN ('completed', 'failed')", id)
            if not self.read("SELECT 1 FROM tasks WHERE task_id = ?", id):
                self.say("tasks", id, None)


def main(path: str, seed: str, slots: str = "0") -> None:
    original = Original(path, seed, int(slots))
    while not select.select([sys.stdin], [], [], 0.002)[0]:
        try:
            original.step()
        except sqlite3.Error as error:
            original.say("refused", str(error), 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
