"""What `doctor` finds out about this installation, without a store."""

from __future__ import annotations

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from hive_state_core._version import __version__
from hive_state_core.spi import Finding

DISTRIBUTION = "hive-state"

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)[^;]*(?:;.*extra\s*==\s*['\"]([^'\"]+)['\"])?")


def surroundings() -> list[Finding]:
    return [_python(), _core(), *_extras(), *_plugins()]


def _python() -> Finding:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    sentence = f"{python} on {platform.system()} {platform.machine()}"
    old = sys.version_info < (3, 11)
    mend = "use Python 3.11 or newer" if old else None
    return Finding(name="python", status="fail" if old else "ok", sentence=sentence, mend=mend)


def _core() -> Finding:
    needed = [f"{name} {_version(name) or 'MISSING'}" for name, extra in _requirements() if extra is None]
    missing = any(each.endswith("MISSING") for each in needed)
    return Finding(
        name="hive-state",
        status="fail" if missing else "ok",
        sentence=f"{__version__}, with {', '.join(needed)}",
        mend=f"pip install {DISTRIBUTION}" if missing else None,
    )


def _extras() -> list[Finding]:
    """One for each extra but the sum of all of them. One that is not there is no fault."""
    packages: dict[str, list[str]] = {}
    for name, extra in _requirements():
        if extra is not None and extra != "all":
            packages.setdefault(extra, []).append(name)
    return [_extra(extra, names) for extra, names in sorted(packages.items())]


def _extra(extra: str, names: list[str]) -> Finding:
    missing = [name for name in names if _version(name) is None]
    if missing:
        sentence = f"not installed ({', '.join(missing)}): pip install '{DISTRIBUTION}[{extra}]'"
    else:
        sentence = ", ".join(f"{name} {_version(name)}" for name in names)
    return Finding(name=f"extra {extra}", status="ok", sentence=sentence)


def _plugins() -> list[Finding]:
    from hive_state_core.plugins import registry

    names = ", ".join(backend.name for backend in registry.backends())
    found = [Finding(name="backends", status="ok" if names else "fail", sentence=names or "there is none")]
    mend = "upgrade or uninstall it; `hive-state -v backends` has the traceback"
    failures = registry.failures()
    return found + [Finding(name="plugin", status="fail", sentence=str(each), mend=mend) for each in failures]


def _requirements() -> list[tuple[str, str | None]]:
    """(Package, extra or None) of this distribution, as it is installed."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    matches = [_REQUIREMENT.match(line) for line in lines]
    return [(match[1], match[2]) for match in matches if match]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
