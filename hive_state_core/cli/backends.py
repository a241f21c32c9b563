"""`hive-state backends`: what can be opened, with which options, and what could not be used and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hive_state_core.cli.frame import Keys, Settings, emit_json, json_option
from hive_state_core.cli.show import columns, setting_text, table
from hive_state_core.errors import ConfigError

if TYPE_CHECKING:
    from hive_state_core.options import Option
    from hive_state_core.plugins import Backend, Failure


BACKENDS: Keys = {
    "backends": {
        "name": "as `backend =` in the configuration has it",
        "schemes": "of its URLs",
        "summary": "for people",
        "missing": "a sentence if something has to be installed first, else null",
        "options": {
            "name": "of the option",
            "takes": "which values, in words",
            "default": "null: there is none",
            "doc": "what it is",
            "secret": "whether it is shown nowhere",
            "part": "of the URL that it is; null: it stands behind the ?",
        },
    },
    "failures": {
        "plugin": "that failed",
        "target": "the module",
        "error": "a sentence",
        "traceback": "of the error",
    },
}


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Show all URLs and options of each, and tracebacks.")
@json_option(BACKENDS)
@click.pass_context
def backends(ctx: click.Context, verbose: bool, as_json: bool) -> None:
    """List the backends.

    Those that can be opened, what they lack, and the plugins that failed.
    """
    from hive_state_core.plugins import registry

    found, failed = registry.backends(), registry.failures()
    settings = ctx.find_object(Settings)
    verbose = verbose or bool(settings and settings.verbose)
    if as_json:
        emit_json({"backends": list(map(_told, found)), "failures": list(map(_failure, failed))})
        return
    if verbose and found:
        for backend in found:
            _show(backend)
    else:
        rows = [(each.name, f"{each.schemes[0]}://", each.summary) for each in found]
        table(("backend", "URL", ""), rows, empty="There is no backend.")
        _say_what_is_missing(found)
    for failure in failed:
        click.echo(f"{failure}" + (f"\n{failure.traceback}" if verbose else ""))


def _told(backend: Backend) -> dict[str, Any]:
    return {
        "name": backend.name,
        "schemes": backend.schemes,
        "summary": backend.summary,
        "missing": _missing(backend),
        "options": [
            {
                "name": option.name,
                "takes": option.wants,
                "default": option.default,
                "doc": option.doc,
                "secret": option.secret,
                "part": option.part,
            }
            for option in backend.options
        ],
    }


def _failure(failure: Failure) -> dict[str, str]:
    return {
        "plugin": failure.plugin,
        "target": failure.target,
        "error": str(failure),
        "traceback": failure.traceback,
    }


def _missing(backend: Backend) -> str | None:
    """What has to be installed first, as a sentence."""
    try:
        backend.check_installed()
    except ConfigError as error:
        return str(error)
    return None


def _say_what_is_missing(found: list[Backend]) -> None:
    for missing in filter(None, map(_missing, found)):
        click.echo(missing)


def _show(backend: Backend) -> None:
    click.echo(f"{backend.name}  {_schemes(backend)}\n  {backend.summary}")
    _say_what_is_missing([backend])
    columns(map(_cells, backend.options), indent="    ")
    click.echo()


def _cells(option: Option) -> tuple[str, str, str]:
    secret = ", secret" if option.secret else ""
    return option.name, setting_text(option.default), f"{option.doc} ({option.wants}{secret})"


def _schemes(backend: Backend) -> str:
    return " ".join(f"{scheme}://" for scheme in backend.schemes)
