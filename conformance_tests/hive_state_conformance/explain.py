"""Why a check failed, in words, where no test framework rewrites assertions."""

from __future__ import annotations

import ast
import linecache
import traceback
from types import TracebackType

SHOWN = 200
"""Characters of a value in a message."""


def explain(error: BaseException) -> str:
    """The message of a failure; for a bare `assert`, its source and the names in it. Of several that failed
    alike, once."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(map(explain, error.exceptions)))
    if not isinstance(error, AssertionError):
        return f"{type(error).__name__}: {error}{_place(error.__traceback__)}"
    return (str(error) or _source(error.__traceback__)) + "".join(
        f"; {note}" for note in getattr(error, "__notes__", ())
    )


def _place(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    ours = [frame for frame in frames if "hive_state_conformance" in frame.filename] or frames
    return f" (at {ours[-1].line})" if ours else ""


def _source(trace: TracebackType | None) -> str:
    if trace is None:
        return "an assertion failed"
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = traceback.extract_tb(trace, limit=1)[0]
    first, last = frame.lineno or 0, frame.end_lineno or frame.lineno or 0
    text = "".join(linecache.getline(frame.filename, line) for line in range(first, last + 1)).strip()
    try:
        names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    except SyntaxError:
        names = set()
    known = {**trace.tb_frame.f_locals}
    where = [
        f"{name} = {_short(known[name])}"
        for name in sorted(names & known.keys())
        if not callable(known[name])
    ]
    return " ".join(text.split()) + (f"  where {', '.join(where)}" if where else "")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
