"""The command line's frame: one sentence for an error, stable exit codes, a quiet end by Ctrl-C, `| head`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from hive_state_core import errors, plugins
from hive_state_core._version import __version__
from hive_state_core.cli import main
from hive_state_core.cli.app import HiveGroup
from hive_state_core.cli.frame import EXIT, async_command, emit_json, json_option
from hive_state_core.hookspecs import hookimpl
from hive_state_core.options import Option, Type
from hive_state_core.plugins import Backend, Registry
from hive_state_core.spi import Driver
from hive_state_core.url import StoreURL

from .terminal import run_on_terminal

CLI = [sys.executable, "-m", "hive_state_core.cli"]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(plugins.STRICT, raising=False)
    monkeypatch.delenv(plugins.ONLY, raising=False)


@pytest.fixture
def act() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """Puts the command `dummy [--json]` into the real group, and sets what it does."""
    does: list[Callable[[], Any]] = []

    @click.command()
    @click.argument("rest", nargs=-1)
    @json_option({})
    def dummy(rest: tuple[str, ...], as_json: bool) -> Any:
        return does[-1]()

    main.add_command(dummy)
    yield does.append
    del main.commands["dummy"]


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def throw(error: BaseException) -> Callable[[], Any]:
    def act() -> None:
        raise error

    return act


Act = Callable[[Callable[[], Any]], None]

CODES: list[tuple[errors.HiveStateError, int]] = [
    (errors.HiveStateError("x"), 1),
    (errors.InvalidArgument("x"), 2),
    (errors.LimitExceeded("key", 2, 1), 2),
    (errors.ConfigError("x"), 2),
    (errors.Unsupported("x", feature="f"), 1),
    (errors.NotFound("x"), 1),
    (errors.Conflict("x"), 1),
    (errors.AlreadyExists("x"), 1),
    (errors.LeaseLost("x"), 1),
    (errors.Unavailable("x"), 5),
    (errors.Sealed("x"), 4),
    (errors.NotEmpty("x"), 4),
    (errors.StoreFull("x"), 4),
    (errors.Indeterminate("x"), 1),
    (errors.AccessDenied("x"), 4),
    (errors.SchemaMismatch("x", found=None, expected=1), 4),
    (errors.StoreMoved("x", peer=None), 4),
    (errors.NotPrimary("x"), 4),
    (errors.CorruptData("x", raw=b""), 1),
    (errors.Closed("x"), 1),
    (errors.Internal("x"), 1),
]


def test_every_error_class_is_listed_here() -> None:
    def tree(kind: type[Any]) -> set[type[Any]]:
        return {kind}.union(*map(tree, kind.__subclasses__()))

    ours = {kind for kind in tree(errors.HiveStateError) if kind.__module__ == "hive_state_core.errors"}
    assert ours == {type(error) for error, _ in CODES}


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: getattr(type(value), "__name__", ""))
def test_error_becomes_one_sentence_and_an_exit_code(act: Act, error: Any, code: int) -> None:
    act(throw(error))
    result = run("dummy")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == f"hive-state: error: {error}\n"
    with_json = run("dummy", "--json")
    assert (with_json.exit_code, with_json.stderr) == (code, result.stderr)
    assert json.loads(with_json.stdout) == {"error": {"code": error.code, "message": str(error)}}


def test_cause_only_if_verbose(act: Act) -> None:
    def fail() -> None:
        raise errors.Unavailable("no answer from db") from OSError("errno 111")

    act(fail)
    assert "errno 111" not in run("dummy").output
    shown = run("-v", "dummy").stderr
    assert "errno 111" in shown
    assert "Traceback" in shown
    assert shown.endswith("hive-state: error: no answer from db\n")


def test_unforeseen_error(act: Act) -> None:
    act(throw(ZeroDivisionError("by\nnought \x1b[31m")))
    result = run("dummy", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == "internal"
    assert result.stderr == (
        "hive-state: error: unforeseen ZeroDivisionError: by nought \\x1b[31m"
        " (run `hive-state -v ...` for the traceback)\n"
    )
    assert "Traceback" in run("-v", "dummy").stderr


def test_a_group_of_errors_is_told_by_the_first_of_ours(act: Act) -> None:
    ours = errors.Unavailable("down")
    act(throw(ExceptionGroup("all", [ValueError("v"), ExceptionGroup("some", [ours, KeyError("k")])])))
    result = run("dummy")
    assert (result.exit_code, result.stderr) == (5, "hive-state: error: down (and 2 more errors)\n")


@pytest.mark.parametrize(
    ("returned", "code"), [(None, 0), (EXIT.OK, 0), (EXIT.DIFFERENCES, 3), ("x", 0), (True, 0)]
)
def test_returned_exit_code(act: Act, returned: object, code: int) -> None:
    act(lambda: returned)
    assert run("dummy").exit_code == code


@pytest.mark.parametrize("error", [click.exceptions.Exit(3), SystemExit(3)])
def test_explicit_exit(act: Act, error: BaseException) -> None:
    act(throw(error))
    assert (run("dummy").exit_code, run("dummy").output) == (3, "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (click.ClickException("no"), 1, "hive-state: error: no\n"),
        (click.BadParameter("no"), 2, "hive-state: error: Invalid value: no (see hive-state dummy --help)\n"),
        (click.Abort(), 1, "hive-state: error: aborted\n"),
        (
            EOFError(),
            1,
            "hive-state: error: unforeseen EOFError (run `hive-state -v ...` for the traceback)\n",
        ),
        (KeyboardInterrupt(), 130, "hive-state: interrupted\n"),
        (
            BrokenPipeError("db"),
            1,
            "hive-state: error: unforeseen BrokenPipeError: db (run `hive-state -v ...",
        ),
    ],
)
def test_ends_that_are_not_ours(act: Act, error: BaseException, code: int, said: str) -> None:
    act(throw(error))
    result = run("dummy")
    assert result.exit_code == code
    assert result.stderr.startswith(said)


@pytest.mark.parametrize(
    "args",
    [["--bogus"], ["backends", "--bogus"], ["backends", "--json", "--bogus"], ["backend"], ["-v", "x"]],
)
def test_usage_is_2_and_one_line(args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stderr.startswith("hive-state: error: No such ")
    assert result.stderr.count("\n") == 1
    if "--json" in args:
        assert json.loads(result.stdout)["error"]["code"] == "usage"
    else:
        assert result.stdout == ""


def test_json_after_the_double_dash_is_an_argument(act: Act) -> None:
    act(throw(errors.NotFound("x")))
    assert run("dummy", "--", "--json").stdout == ""


def test_no_arguments_show_the_help() -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stderr == run("-h").stdout


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_complete(flag: str) -> None:
    done = subprocess.run([*CLI, flag], capture_output=True, text=True, check=True)
    for word in (
        "backends",
        "--verbose",
        "--version",
        "HIVE_STATE_USE",
        "HIVE_STATE_PLUGINS",
        "130  interrupted",
    ):
        assert word in done.stdout
    assert "\x1b" not in done.stdout
    assert run("backends", flag).exit_code == 0


def test_the_frame_imports_nothing_heavy() -> None:
    code = (
        "import sys, hive_state_core.cli.app as app\n"
        "try: app.main(['--version'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'aiosqlite', 'asyncpg', 'pluggy', 'rich', 'pytest', 'hypothesis', 'hive_state_sqlite'}\n"
        "print(*(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"hive-state {__version__}\n\n"


def test_outside_standalone_mode_errors_are_left_alone(act: Act) -> None:
    error = errors.NotFound("x")
    act(throw(error))
    with pytest.raises(errors.NotFound):
        main(["dummy"], standalone_mode=False)


# --- backends and plugins ----------------------------------------------------------------------


def connect(url: StoreURL, namespace: str) -> Driver:
    raise AssertionError("listing opens nothing")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry with a backend, and a plugin that cannot be imported."""
    registry = Registry([EntryPoint("gone", "no_such_module", "hive_state")])
    made = Backend(
        name="abc",
        schemes=("abc", "abcs"),
        summary="Is abc.",
        connect=connect,
        options=(Option(name="pin", type=Type.WHOLE, secret=True, least=1, doc="a number"),),
        requires=("no_such_driver",),
        install="pip install no-such-driver",
    )
    registry.register(made)
    monkeypatch.setattr(plugins, "registry", registry)
    monkeypatch.setattr(main, "asked", True)  # or the group would miss the real plugins for good


def test_backends(broken: None) -> None:
    result = run("backends")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "backend  URL",
        "abc      abc://  Is abc.",
        "the backend abc needs no_such_driver: pip install no-such-driver",
        "plugin 'gone' (no_such_module) failed with ModuleNotFoundError: No module named 'no_such_module'",
    ]
    for args in (("-v", "backends"), ("backends", "-v")):
        verbose = run(*args).stdout
        assert "abc  abc:// abcs://\n" in verbose
        assert "    pin  -  a number (a whole number, 1 or more, secret)\n" in verbose
        assert "Traceback" in verbose


def test_backends_json(broken: None) -> None:
    result = run("backends", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    (abc,) = told["backends"]
    assert (abc["name"], abc["schemes"], abc["summary"]) == ("abc", ["abc", "abcs"], "Is abc.")
    assert abc["missing"] == "the backend abc needs no_such_driver: pip install no-such-driver"
    (pin,) = abc["options"]
    assert (pin["name"], pin["default"], pin["doc"], pin["secret"]) == ("pin", None, "a number", True)
    (failure,) = told["failures"]
    assert (failure["plugin"], failure["target"]) == ("gone", "no_such_module")
    assert "Traceback" in failure["traceback"]


def test_backends_json_of_the_installed_program() -> None:
    done = subprocess.run([*CLI, "backends", "--json"], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {"backends", "failures"}
    assert done.stderr == ""


def test_commands_of_plugins(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    module = ModuleType("third_party_commands")

    class Adds:
        def __init__(self, *names: str, error: Exception | None = None) -> None:
            self.names, self.error = names, error

        @hookimpl
        def hive_state_register_commands(self, cli: click.Group) -> None:
            for name in self.names:
                cli.add_command(click.Command(name, callback=lambda: EXIT.DIFFERENCES))
            if self.error:
                raise self.error

    module.good, module.bad = Adds("good"), Adds("half", error=RuntimeError("boom"))  # type: ignore[attr-defined]
    module.thief = Adds("more", "old")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = ("bad", "good", "thief")
    registry = Registry([EntryPoint(n, f"{module.__name__}:{n}", "hive_state") for n in names])
    monkeypatch.setattr(plugins, "registry", registry)
    group = HiveGroup("hive-state", commands={"old": click.Command("old", callback=lambda: None)})
    assert CliRunner().invoke(group, ["good"]).exit_code == 3
    assert CliRunner().invoke(group, ["old"]).exit_code == 0
    assert sorted(group.commands) == ["good", "old"]
    assert [failure.plugin for failure in registry.failures()] == ["bad", "thief"]
    assert len(caplog.records) == 2


def test_strict_plugins_stop_the_program(broken: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.STRICT, "1")
    monkeypatch.setattr(plugins, "registry", Registry([EntryPoint("gone", "no_such_module", "hive_state")]))
    for args in (["list-me"], ["--help"]):
        result = CliRunner().invoke(HiveGroup("hive-state"), args)
        assert result.exit_code == 1
        assert "unforeseen ModuleNotFoundError: No module named 'no_such_module'" in result.stderr
    assert CliRunner().invoke(HiveGroup("hive-state"), ["--help"]).exit_code == 1, "not only the first time"


# --- helpers, processes ------------------------------------------------------------------------


def test_emit_json_is_one_line_of_utf8(act: Act) -> None:
    act(lambda: emit_json({"a": ["é", None]}))
    assert run("dummy").stdout_bytes == '{"a":["é",null]}\n'.encode()


def test_async_command(act: Act) -> None:
    @async_command
    async def body(code: int) -> int:
        """Said."""
        await asyncio.sleep(0)
        return code

    act(lambda: body(3))
    assert run("dummy").exit_code == 3
    assert (body.__name__, body.__doc__) == ("body", "Said.")


def test_async_command_that_was_cancelled_counts_as_interrupted(act: Act) -> None:
    @async_command
    async def body() -> None:
        raise asyncio.CancelledError

    act(body)
    assert run("dummy").exit_code == 130


SLEEPER = """
import asyncio, signal, sys
import click
from hive_state_core.cli import main
from hive_state_core.cli.frame import async_command, json_option

signal.signal(signal.SIGINT, getattr(signal, sys.argv.pop(1)))

@click.command()
@json_option({})
@async_command
async def sleeper(as_json):
    try:
        print("ready", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        print("closed", flush=True)

main.add_command(sleeper)
main()
"""


@pytest.mark.parametrize(
    ("by", "at_ctrl_c", "options", "told"),
    [
        (signal.SIGINT, "default_int_handler", [], ""),
        (signal.SIGINT, "default_int_handler", ["--json"], '{"error":{"code":"interrupted"'),
        (signal.SIGTERM, "default_int_handler", [], ""),
        (signal.SIGTERM, "SIG_IGN", [], ""),  # as in a background job of a script
    ],
)
def test_ctrl_c_and_sigterm_close_what_is_open_and_exit_130(
    by: signal.Signals, at_ctrl_c: str, options: list[str], told: str
) -> None:
    command = [sys.executable, "-c", SLEEPER, at_ctrl_c, "sleeper", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(by)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "hive-state: interrupted\n")
    assert out.startswith(f"closed\n{told}")


TALKER = """
import click
from hive_state_core.cli import main
main.add_command(click.Command("talker", callback=lambda: print(*range(99999), sep="\\n")))
main()
"""


@pytest.mark.parametrize(
    "command", [[sys.executable, "-c", TALKER, "talker"], [*CLI, "--help"], [*CLI, "backends"]]
)
def test_nobody_reads(command: list[str]) -> None:
    there, gone = os.pipe()
    os.close(there)
    with os.fdopen(gone, "wb") as unread:
        done = subprocess.run(command, stdout=unread, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "args",
    [
        ("agents", "postgres://u:geheim@h/db"),
        ("health", "a", "postgres://u:geheim@h/db"),
        ("tasks", "list", "--limit", "postgres://u:geheim@h/db"),
        ("tasks", "show", "memory://", "postgres://u:geheim@h/db", "--json"),
    ],
)
def test_a_url_in_a_wrong_place_tells_no_password(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert "postgres://u:***@h/db" in result.stderr
    assert "geheim" not in result.output


def test_an_interruption_has_a_line_of_its_own_on_a_terminal() -> None:
    program = (
        "from hive_state_core.cli.frame import Settings, report; report(KeyboardInterrupt(), Settings([]))"
    )
    _, drawn = run_on_terminal(sys.executable, "-c", program)
    assert drawn == "\r\nhive-state: interrupted\r\n"
