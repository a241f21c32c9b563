"""Writes docs/reference/commands.md from the commands themselves: `python tests/docs/commands_page.py`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from hive_state_core.cli import main
from hive_state_core.cli.app import EPILOG
from hive_state_core.cli.frame import JsonOption, Keys
from hive_state_core.cli.migrate_status import STATUS

STATUS_COMMAND = "hive-state migrate status"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"

HEAD = """\
# Commands

<!-- Made by `python tests/docs/commands_page.py`; edit the commands instead. -->

What `hive-state COMMAND --help` says of each, and the keys of what `--json` prints: one object, on one line.
A key `a.b` is of the object `a`, or of each object of the list `a`. Keys stay the same; new ones may come.
Instants are in ISO 8601 and UTC. After an error the object is `{"error": {"code": ..., "message": ...}}`. All
commands take `--help`, and `hive-state -v COMMAND` shows tracebacks.

"""


def page() -> str:
    """The whole page, of the commands that come with hive-state."""
    about = inspect.cleandoc(EPILOG).replace("\b\n", "")
    context = click.Context(main, info_name="hive-state")
    return "\n".join([f"{HEAD}```text\n{about}\n```\n", *_sections(main, context)])


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Those that do something, in the order of their names."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from commands(command, inner)
        else:
            yield command, inner


def json_option_of(command: click.Command) -> JsonOption | None:
    return next((param for param in command.params if isinstance(param, JsonOption)), None)


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    for command, inner in commands(group, context):
        usage = " ".join([inner.command_path, *command.collect_usage_pieces(inner)])
        yield f"## {inner.command_path}\n\n```text\n{usage}\n```\n\n{inspect.cleandoc(command.help or '')}\n"
        if rows := list(_options(command, inner)):
            yield _table("option", rows)
        if option := json_option_of(command):
            yield _table("key", list(_keys_of(inner, option.keys)))


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for param in command.params:
        if isinstance(param, click.Option) and not isinstance(param, JsonOption):
            record = param.get_help_record(context)
            assert record is not None
            yield record


def _keys_of(context: click.Context, keys: Keys) -> Iterator[tuple[str, str]]:
    """Of a command that tells how it is then, only those that `migrate status` lacks."""
    if context.command_path == STATUS_COMMAND or not STATUS.keys() <= keys.keys():
        yield from _keys(keys)
    else:
        yield from _keys({key: says for key, says in keys.items() if says != STATUS.get(key)})
        yield (
            "...",
            f"[all that `migrate status` has](#{STATUS_COMMAND.replace(' ', '-')}), where it tells that",
        )


def _keys(keys: Keys, before: str = "") -> Iterator[tuple[str, str]]:
    for key, says in keys.items():
        if isinstance(says, str):
            yield before + key, says
        else:
            yield from _keys(says, f"{before}{key}.")


def _table(what: str, rows: list[tuple[str, str]]) -> str:
    lines = (f"| `{_cell(name)}` | {_cell(says)} |" for name, says in rows)
    return "\n".join([f"| {what} | |", "| --- | --- |", *lines, ""])


def _cell(text: str) -> str:
    """A bar would end the cell."""
    return text.replace("|", ", ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
