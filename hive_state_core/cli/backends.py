"""`hive-state backends`: what can be opened, and which plugins could not be used."""

from __future__ import annotations

import click

from hive_state_core.cli.frame import Settings, emit_json, json_option


@click.command()
@json_option
@click.pass_context
def backends(ctx: click.Context, as_json: bool) -> None:
    """List the backends, and the plugins that failed."""
    from hive_state_core.plugins import registry

    found, failed = registry.backends(), registry.failures()
    if as_json:
        emit_json(
            {
                "backends": [{"name": b.name, "schemes": b.schemes, "summary": b.summary} for b in found],
                "failures": [
                    {"plugin": f.plugin, "target": f.target, "error": str(f), "traceback": f.traceback}
                    for f in failed
                ],
            }
        )
        return
    _table([(b.name, " ".join(f"{scheme}://" for scheme in b.schemes), b.summary) for b in found])
    settings = ctx.find_object(Settings)
    for failure in failed:
        click.echo(f"{failure}" + (f"\n{failure.traceback}" if settings and settings.verbose else ""))


def _table(rows: list[tuple[str, str, str]]) -> None:
    """Aligned columns; the last one is left as long as it is."""
    first, second = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    for name, schemes, summary in rows:
        click.echo(f"{name:<{first}}  {schemes:<{second}}  {summary}".rstrip())
    if not rows:
        click.echo("There is no backend.")
