"""Makes `hive_state_core/sync.pyi`, the types of the blocking API, from the source of the asynchronous one:

python tests/unit/make_sync_stub.py
"""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "hive_state_core"
STUB = CORE / "sync.pyi"

HEAD = '''"""The types of `hive_state_core.sync`. Made by tests/unit/make_sync_stub.py; do not edit."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

'''

ITERATION = """
T_co = TypeVar("T_co", covariant=True)

class Iteration(Iterator[T_co]):
    def __next__(self) -> T_co: ...
    def close(self) -> None: ...
"""

CLASSES = {
    "held": ["KeptAlive", "Held"],
    "leases": ["Lease"],
    "locks": ["Lock", "Locks", "LockOps"],
    "subscription": ["Delivery"],
    "records": ["Records"],
    "record_ops": ["RecordOps"],
    "agents": ["Agents", "AgentOps"],
    "tasks": ["Tasks"],
    "task_ops": ["TaskOps"],
    "sessions": ["Sessions", "SessionOps"],
    "events": ["Events"],
    "event_ops": ["EventOps"],
    "checkpoints": ["Checkpoints", "CheckpointOps"],
    "unit": ["Unit"],
    "store": ["Store"],
}

INTERNAL = {
    "Lease": {"completion", "failure", "giving_back", "settle", "finish", "abandon", "until_ms"},
    "KeptAlive": {"extend"},
    "Held": {"lapse", "commit", "finish", "abandon", "wind_up"},
    "Delivery": {"retry_ms", "named", "refresh"},
    "Lock": {"check"},
    "Unit": {"check", "add", "count"},
    "Store": {"loading", "replication"},
}
"""For the facets, and of no use to threads."""

WORK = """
def work(self, queue: str, handler: Callable[[Lease], Json | None], *, worker: str, concurrency: int = ...,
    lease: Duration = ..., backoff: Backoff = ..., poll: Duration = ...,
    capabilities: Iterable[str] | None = ..., stop: threading.Event | None = ...) -> None: ...
"""

IN_HEAD = {"Callable", "Iterator", "AbstractContextManager", "Iteration", "T_co"}
ASYNCHRONOUS = ("AsyncIterator", "AsyncGenerator")

Imports = dict[str, str]


def stub() -> str:
    """Its text."""
    bodies: list[ast.stmt] = []
    imports: Imports = {"threading": "import threading"}
    for module, names in CLASSES.items():
        tree = ast.parse((CORE / f"{module}.py").read_text())
        imports = _imports(module, tree) | imports
        found = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        bodies += [_class(found[name]) for name in names]
        if module == "store":
            bodies.append(_open_store(tree))
    text = "\n".join(map(ast.unparse, bodies))
    used = {node.id for node in ast.walk(ast.parse(text)) if _is_used(node)}
    made = {name for names in CLASSES.values() for name in names} | IN_HEAD
    needed = sorted((used - made - set(dir(builtins))) & imports.keys())
    return _ruff("\n".join([HEAD, *(imports[name] for name in needed), ITERATION, text, ""]))


def _ruff(text: str) -> str:
    for command in (["check", "--select=I", "--fix-only", "--quiet"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "-", f"--stdin-filename={STUB.relative_to(ROOT)}"]
        text = subprocess.run(ruff, cwd=ROOT, input=text, capture_output=True, text=True, check=True).stdout
    return text


def _is_used(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def _imports(module: str, tree: ast.Module) -> Imports:
    """What each name of the module is imported by."""
    found: Imports = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                as_ = f" as {alias.asname}" if alias.asname else ""
                found[alias.asname or alias.name] = f"from {node.module} import {alias.name}{as_}"
    for node in tree.body:
        names = [node.name] if isinstance(node, ast.ClassDef) else []
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        found |= {name: f"from hive_state_core.{module} import {name}" for name in names}
    return found


def _class(node: ast.ClassDef) -> ast.ClassDef:
    hidden = INTERNAL.get(node.name, set())
    body: list[ast.stmt] = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            item.value = None
            if not ast.unparse(item.target).startswith("_"):
                body.append(item)
        elif isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            if item.name == "__init__":
                body += _attributes(item, hidden)
            elif node.name == "Tasks" and item.name == "work":
                body += ast.parse(WORK).body
            elif item.name not in hidden:
                body += _method(item)
    node.body = body or [ast.Expr(ast.Constant(...))]
    node.bases = [base for base in node.bases if ast.unparse(base) in ("KeptAlive", "Held")]
    return node


def _attributes(init: ast.FunctionDef | ast.AsyncFunctionDef, hidden: set[str]) -> list[ast.stmt]:
    """Those that are public and whose types are told."""
    parameters = {each.arg: each.annotation for each in (*init.args.args, *init.args.kwonlyargs)}
    found: list[ast.stmt] = []
    for item in init.body:
        target = item.target if isinstance(item, ast.AnnAssign) else None
        annotation = item.annotation if isinstance(item, ast.AnnAssign) else None
        if isinstance(item, ast.Assign):
            target = item.targets[0]
            annotation = parameters.get(ast.unparse(item.value))
        if not isinstance(target, ast.Attribute) or annotation is None:
            continue
        if not target.attr.startswith("_") and target.attr not in hidden:
            found.append(ast.AnnAssign(ast.Name(target.attr), annotation, None, 1))
    return found


def _method(item: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    name = {"__aenter__": "__enter__", "__aexit__": "__exit__"}.get(item.name, item.name)
    if name.startswith("_") and name not in ("__enter__", "__exit__"):
        return []
    returns, decorators = item.returns, item.decorator_list
    if any(ast.unparse(each) == "asynccontextmanager" for each in decorators):
        assert isinstance(returns, ast.Subscript)
        returns, decorators = ast.Subscript(ast.Name("AbstractContextManager"), returns.slice), []
    elif isinstance(returns, ast.Subscript) and ast.unparse(returns.value) in ASYNCHRONOUS:
        of = returns.slice.elts[0] if isinstance(returns.slice, ast.Tuple) else returns.slice
        returns = ast.Subscript(ast.Name("Iteration"), of)
    defaults = item.args
    defaults.defaults = [ast.Constant(...) for _ in defaults.defaults]
    defaults.kw_defaults = [each and ast.Constant(...) for each in defaults.kw_defaults]
    made = ast.FunctionDef(name, defaults, [ast.Expr(ast.Constant(...))], decorators, returns)
    return [ast.fix_missing_locations(made)]


def _open_store(tree: ast.Module) -> ast.stmt:
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "open_store")
    return _method(found)[0]


if __name__ == "__main__":
    STUB.write_text(stub())
