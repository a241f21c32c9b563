"""The data that `demo` and `bench` work on: agents' states of about 500 bytes of JSON."""

from __future__ import annotations

from typing import Any

GOALS = (
    "collect the open questions of the customer, rank them by urgency, and draft an answer to each",
    "compare the three offers, note what is missing in any of them, and prepare the decision table",
    "read the incident log of the night, group what belongs together, and name the likely causes",
    "translate the manual chapter by chapter, keep the glossary, and list terms that need a review",
)


def state(number: int, step: int = 0) -> dict[str, Any]:
    """The state of one agent, of 500 bytes or a few more or less; different for each pair of arguments."""
    return {
        "agent": f"agent-{number:06d}",
        "role": ("planner", "coder", "reviewer", "researcher")[number % 4],
        "status": "working",
        "step": step,
        "goal": GOALS[number % 4],
        "plan": ["read", "split", "delegate", "merge", "check", "report"],
        "inbox": [number * 7 % 1000, number * 11 % 1000, number * 13 % 1000],
        "tokens": {"prompt": 1000 + number % 997, "completion": 300 + number % 499},
        "cost_usd": round(number % 977 * 0.013, 4),
        "parent": f"agent-{number // 10:06d}",
        "tools": ["search", "files", "shell"],
        "notes": "the last message was acknowledged, nothing is left to do before the next turn",
    }
