"""What the commands of a live migration say, and its keys with `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from hive_state_core.cli import migrate_status, show
from hive_state_core.cli.frame import EXIT, Keys, emit_json

if TYPE_CHECKING:
    from hive_state_core.migration.checking import Checked
    from hive_state_core.migration.crossing import Crossed
    from hive_state_core.migration.live import Live

OBSTACLES: Keys = {"obstacles": "what stands in the way, in words; the exit code is 4 then"}
CHECKED: Keys = {
    "clean": "whether nothing is wrong",
    "compared": "rows, by kind",
    "reread": "how many of them as a reader sees them",
    "repaired": "rows that were lost, and sent once more",
    "found": "what differs, and why",
}
CROSSED: Keys = {
    "lives_in": "where the hive lives now",
    "sealed_ms": "for how long nobody could write",
    "drained": "marks that were sent meanwhile",
    "steps": "milliseconds of each",
}


def tell_obstacles(obstacles: list[str], as_json: bool) -> None:
    if as_json:
        emit_json({"obstacles": obstacles})
    for obstacle in obstacles:
        click.echo(f"in the way: {obstacle}", err=True)


def tell_checked(checked: Checked, as_json: bool) -> int:
    """The exit code."""
    compared = sum(checked.compared.values())
    if as_json:
        emit_json(
            {
                "clean": checked.clean,
                "compared": checked.compared,
                "reread": checked.reread,
                "repaired": checked.repaired,
                "found": {what: why.value for what, why in checked.found.items()},
            }
        )
    else:
        for what, why in list(checked.found.items())[:20]:
            click.echo(f"{what}: {why.value}")
        end = "nothing is wrong" if checked.clean else "something is wrong that does not mend itself"
        repaired = f", {checked.repaired} sent once more" if checked.repaired else ""
        click.echo(
            f"{compared:,} compared, {checked.reread:,} of them as a reader sees them{repaired}: {end}"
        )
    return EXIT.OK if checked.clean else EXIT.DIFFERENCES


def tell_crossed(name: str, crossed: Crossed, as_json: bool) -> None:
    if as_json:
        emit_json({"lives_in": name, **msgspec.structs.asdict(crossed)})
    else:
        click.echo(f"the hive lives in {name}; writes waited for {crossed.sealed_ms:.0f} ms")


async def tell_status(live: Live, as_json: bool) -> None:
    tell_found(await migrate_status.look(live), as_json)


def tell_found(found: dict[str, Any], as_json: bool, watched: bool = False) -> None:
    """What is said of a migration; `watched`: in the place of what was said before."""
    if as_json:
        emit_json(found)
        return
    if watched:
        show.clear()
    migrate_status.tell(found)
