"""The command group: finds the commands, and turns every way a command can end into an exit code."""

from __future__ import annotations

import select
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, TextIO

import click

from hive_state_core._version import __version__
from hive_state_core.cli.agents import agents
from hive_state_core.cli.backends import backends
from hive_state_core.cli.config import config
from hive_state_core.cli.doctor import doctor
from hive_state_core.cli.events import events
from hive_state_core.cli.exchange import export_, import_
from hive_state_core.cli.frame import Settings, report, sigterm_as_ctrl_c
from hive_state_core.cli.health import health
from hive_state_core.cli.init import init
from hive_state_core.cli.migrate import migrate
from hive_state_core.cli.stats import stats
from hive_state_core.cli.tasks import tasks

EPILOG = """\
STORE is a URL, a configured name or a preset; without it, the configured store is meant.

\b
Environment:
  HIVE_STATE_URL             the URL of the store
  HIVE_STATE_USE             or its name in the configuration
  HIVE_STATE_CONFIG          the configuration; else the nearest hive-state.toml or pyproject.toml
  HIVE_STATE_PLUGINS         load only these plugins: a,b
  HIVE_STATE_STRICT_PLUGINS  1: stop at the first broken one

\b
Exit codes:
  0    ok
  1    failed
  2    usage: a bad command line, URL or configuration
  3    differences, or failed checks
  4    precondition: rights, schema, a full disk, a store that moved
  5    unreachable
  130  interrupted, by Ctrl-C or SIGTERM
"""


class HiveGroup(click.Group):
    """A group that gets commands from plugins, and reports errors as `frame` says.

    With `standalone_mode=False` errors leave it as they are, as in any click group.
    """

    asked: bool = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._ask_plugins()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def _ask_plugins(self) -> None:
        """Once, and not before a command is looked for: `--version` loads no plugin."""
        if self.asked:
            return
        self.asked = True
        from hive_state_core.plugins import registry

        for entry, manager in registry.plugins():
            before = dict(self.commands)
            try:
                manager.hook.hive_state_register_commands(cli=self)
                _nothing_replaced(before, self.commands)
            except (Exception, SystemExit) as error:
                self.commands.clear()
                self.commands.update(before)
                registry.fail(entry, error)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Raises click's Exit for every end that has to be told to the user."""
        settings = ctx.find_object(Settings)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where click can still see that nobody reads
            return result
        except click.exceptions.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:
            if settings is None or _nobody_reads(error):
                raise  # of a broken pipe, click makes a silent exit 1
            ctx.exit(report(error, settings))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Exits with 0, the exit code that the command returned, or the one that fits its error."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        argv = list(sys.argv[1:] if args is None else args)
        settings = Settings(argv)
        extra.setdefault("obj", settings)
        try:
            with sigterm_as_ctrl_c():
                result = super().main(
                    argv, prog_name or "hive-state", complete_var, standalone_mode=False, **extra
                )
        except Exception as error:  # from the group's own options; `invoke` caught the rest
            result = report(error, settings)
        sys.exit(result if isinstance(result, int) and result is not True else 0)


def _nothing_replaced(
    before: MutableMapping[str, click.Command], now: MutableMapping[str, click.Command]
) -> None:
    for name, command in before.items():
        if now.get(name) is not command:
            raise ValueError(f"it replaces the command {name!r}")


def _nobody_reads(error: BaseException) -> bool:
    """Whether the error is our own stdout or stderr, closed by `| head`: not a broken connection."""
    return isinstance(error, BrokenPipeError) and (_is_closed(sys.stdout) or _is_closed(sys.stderr))


def _is_closed(stream: TextIO) -> bool:
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)  # no event asked for: errors are always told
    except OSError:  # a test's stream, without a file
        return False
    return bool(poll.poll(0))


def _be_verbose(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    settings = ctx.find_object(Settings)
    if settings is not None:
        settings.verbose = value


@click.group(
    "hive-state", cls=HiveGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, message="hive-state %(version)s")
@click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, callback=_be_verbose, help="Show tracebacks."
)
def main() -> None:
    """hive-state: a state store for hives of AI agents."""


COMMANDS: tuple[click.Command, ...] = (
    agents,
    backends,
    config,
    doctor,
    events,
    export_,
    health,
    import_,
    init,
    migrate,
    stats,
    tasks,
)
for _command in COMMANDS:
    main.add_command(_command)
