"""`hive-state release-legacy`: take out of an original hive's file what a live migration has put there."""

from __future__ import annotations

import click

from hive_state_core.cli.acting import dangerous
from hive_state_core.cli.frame import async_command, emit_json, json_option


@click.command("release-legacy")
@click.argument("file")
@dangerous("what a program writes to {file} from now on, nobody of the hive will see; go on?")
@json_option({"released": "path of the file"})
@async_command
async def release_legacy(file: str, as_json: bool) -> None:
    """Let FILE take writes of an original hive again.

    That is, after its hive has moved for good. Since the switch each write to it fails, so that a program
    that was forgotten cannot write where nobody looks any more. That ends: the triggers are dropped, and the
    folder beside the file is removed. The rows stay as they were at the switch. Refused while the hive may
    still come back, until `migrate complete`.
    """
    from hive_state_legacy.driver import LegacyDriver
    from hive_state_legacy.options import make_options

    options = make_options(file, {})
    driver = LegacyDriver(options, "default")
    await driver.open()
    try:
        await driver.require_over()
        await driver.release()
    finally:
        await driver.close()
    if as_json:
        emit_json({"released": options.path})
    else:
        click.echo(f"{options.path} is the file of an original hive again, and nothing else")
