"""The installed package: its version, and what importing it costs."""

import subprocess
import sys
from importlib.metadata import version

from hive_state_core._version import __version__

# Drivers, terminal and test tools: whoever imports the core pays for none of them.
UNWANTED = ("aiosqlite", "asyncpg", "redis", "rich", "opentelemetry", "hypothesis", "pytest")


def test_version_is_the_one_in_the_metadata() -> None:
    assert version("hive-state") == __version__


def test_import_of_the_core_loads_no_driver_and_no_tool() -> None:
    code = f"import sys, hive_state_core; print(*sorted(set(sys.modules) & set({UNWANTED!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_import_of_the_core_loads_no_backend_and_not_the_suite() -> None:
    code = "import sys, hive_state_core; print(*(m for m in sys.modules if m.startswith('hive_state_')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()} == {"hive_state_core"}
