"""What every command shares: exit codes, one sentence for an error, JSON, and a clean Ctrl-C.

A command is written like this, and added to the group by the hook `hive_state_register_commands`:

    @click.command()
    @store_argument
    @json_option({"count": "how many there are"})
    @async_command
    async def count(store: StoreArgument, as_json: bool) -> int:
        async with store.open() as hive: ...
        return EXIT.DIFFERENCES if failed else EXIT.OK

`store_argument` is in `hive_state_core.cli.stores`.

The command returns None or an exit code. It may let any HiveStateError through; the group reports it. What
people should read beside the result goes to stderr, so that stdout can be piped. `show` draws tables.
"""

from __future__ import annotations

import asyncio
import functools
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

import click
import msgspec

from hive_state_core import errors
from hive_state_core.url import without_secrets

P = ParamSpec("P")
T = TypeVar("T")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Keys: TypeAlias = Mapping[str, "str | Keys"]
"""What each key of an object says; those of the objects in it, or in a list of it, again by key."""


class EXIT(IntEnum):
    """The exit codes: a stable contract."""

    OK = 0
    FAILED = 1
    USAGE = 2
    """A bad command line, URL, scheme or configuration."""
    DIFFERENCES = 3
    """The command did its work, and found differences or failed checks."""
    PRECONDITION = 4
    """Rights, schema, a full disk, a store that moved, is sealed, or holds what it should not."""
    UNREACHABLE = 5
    INTERRUPTED = 130


# The first that fits counts: a subclass stands before its base.
_EXITS: tuple[tuple[tuple[type[Exception], ...], EXIT], ...] = (
    ((errors.ConfigError, errors.InvalidArgument), EXIT.USAGE),
    ((errors.AccessDenied, errors.SchemaMismatch, errors.StoreMoved, errors.NotPrimary), EXIT.PRECONDITION),
    ((errors.StoreFull, errors.Sealed, errors.NotEmpty), EXIT.PRECONDITION),
    ((errors.Unavailable,), EXIT.UNREACHABLE),
)


class Settings:
    """What the options of this run say, for the report of an error. It is the `obj` of click's context.

    `json` is told from the arguments themselves: an error in them comes before any option is parsed.
    """

    def __init__(self, args: list[str]) -> None:
        self.verbose = False
        self.json: bool = "--json" in (args[: args.index("--")] if "--" in args else args)


class Verdict(NamedTuple):
    exit: int
    code: str
    sentence: str
    foreseen: bool = True


def verdict(error: BaseException) -> Verdict:
    """What to say about an error that left a command, and how to exit."""
    error, others = _leaf(error)
    more = f" (and {others} more errors)" if others > 1 else " (and 1 more error)" if others else ""
    match error:
        case errors.HiveStateError():
            fitting = (code for types, code in _EXITS if isinstance(error, types))
            return Verdict(next(fitting, EXIT.FAILED), error.code, (str(error) or error.code) + more)
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else "hive-state"
            return Verdict(EXIT.USAGE, "usage", f"{error.format_message().rstrip('.')} (see {where} --help)")
        case click.ClickException():
            return Verdict(error.exit_code, "failed", error.format_message())
        case KeyboardInterrupt():
            return Verdict(EXIT.INTERRUPTED, "interrupted", "interrupted")
        case click.Abort() if isinstance(error.__cause__, KeyboardInterrupt):
            return verdict(error.__cause__)
        case click.Abort():
            return Verdict(EXIT.FAILED, "aborted", "aborted")
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    return Verdict(EXIT.FAILED, "internal", f"unforeseen {what}{more}", foreseen=False)


def report(error: BaseException, settings: Settings) -> int:
    """One sentence on stderr (before it, if verbose, the traceback); with --json also an object on stdout.

    Returns the exit code.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return EXIT.USAGE
    found = verdict(error)
    sentence = without_secrets(printable(found.sentence))
    if settings.verbose and not isinstance(error, (click.ClickException, click.Abort, KeyboardInterrupt)):
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    hint = "" if found.foreseen or settings.verbose else " (run `hive-state -v ...` for the traceback)"
    label = "" if found.exit == EXIT.INTERRUPTED else "error: "
    if found.exit == EXIT.INTERRUPTED and sys.stderr.isatty():
        click.echo(err=True)  # the terminal has drawn ^C, behind whatever stood there
    click.echo(f"hive-state: {label}{sentence}{hint}", err=True)
    if settings.json:
        emit_json({"error": {"code": found.code, "message": sentence}})
    return found.exit


def emit_json(obj: Any) -> None:
    """Write one line of JSON (UTF-8) to stdout. Structs and dataclasses are fine.

    Give it `str(url)`, never a StoreURL: its fields are not redacted. Raises TypeError for what JSON lacks.
    """
    click.echo(msgspec.json.encode(obj))


class JsonOption(click.Option):
    """`--json`, which knows the keys of what is printed: docs/reference/commands.md is made of them."""

    def __init__(self, *args: Any, keys: Keys, **others: Any) -> None:
        super().__init__(*args, **others)
        self.keys: Keys = keys


def json_option(keys: Keys) -> Callable[[Decorated], Decorated]:
    """Adds `--json`, as the argument `as_json: bool`. An error is then an object on stdout too."""
    words = "Print JSON, and nothing else, on stdout."
    return click.option("--json", "as_json", cls=JsonOption, keys=keys, is_flag=True, help=words)


def async_command(body: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Runs the coroutine in an event loop of its own.

    The first Ctrl-C cancels it, so that every `async with` in it closes what it opened; then
    KeyboardInterrupt is raised. A second Ctrl-C does not wait for that.
    """

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return asyncio.run(body(*args, **kwargs))
        except asyncio.CancelledError as cancelled:  # Ctrl-C, while something else was cancelling too
            raise KeyboardInterrupt from cancelled

    return run


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Meanwhile SIGTERM, which a service manager sends, ends a command as Ctrl-C does: with what it opened
    closed, and what it made for itself removed."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, frame: FrameType | None) -> None:
    by_ctrl_c = signal.getsignal(signal.SIGINT)
    if callable(by_ctrl_c):
        by_ctrl_c(signal.SIGINT, frame)
    else:  # it is ignored, as in a background job of a script
        raise KeyboardInterrupt


def _leaf(error: BaseException) -> tuple[BaseException, int]:
    """Of a group (a TaskGroup raised it) the first HiveStateError, or else the first; and how many others."""
    if not isinstance(error, BaseExceptionGroup):
        return error, 0
    known, rest = error.split(errors.HiveStateError)
    count = sum(map(_size, error.exceptions))
    first: BaseException = known or rest or error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first, count - 1


def _size(error: BaseException) -> int:
    return sum(map(_size, error.exceptions)) if isinstance(error, BaseExceptionGroup) else 1


def printable(text: str) -> str:
    """One line without control characters: a message may quote a key that anybody chose."""
    return "".join(c if c.isprintable() else " " if c == "\n" else ascii(c)[1:-1] for c in text.strip())
