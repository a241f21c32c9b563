"""Finding and reading the configuration: `hive-state.toml`, or `[tool.hive-state]` of a pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hive_state_core.config import FILE, PYPROJECT, Config, shown
from hive_state_core.errors import ConfigError

SETTING = "HIVE_STATE_CONFIG"


def read_config(config: Config | Path | str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The one of a path. None = of HIVE_STATE_CONFIG, else the nearest one, upward from the working
    directory, else an empty one. Raises ConfigError, naming the file."""
    if isinstance(config, Config):
        return config
    if config is not None:
        return _load(Path(config), "")
    if given := environ.get(SETTING):
        return _load(Path(given), f"{SETTING}: ")
    return _nearest()


def _nearest() -> Config:
    """In one folder, hive-state.toml comes before a pyproject.toml, which counts only if it has our table."""
    for folder in _upward():
        # os.path: to it, a folder that may not be entered is one without a file
        if os.path.isfile(path := folder / FILE):  # noqa: PTH113
            return _load(path, "")
        if os.path.isfile(path := folder / PYPROJECT) and "hive-state" in (text := _text(path, "")):  # noqa: PTH113
            data = _ours(path, _parsed(path, text))
            if data is not None:
                return Config(data, path, text)
    return Config()


def _upward() -> tuple[Path, ...]:
    """The working directory and those above; none if it was removed."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return ()
    return (here, *here.parents)


def _load(path: Path, said: str) -> Config:
    """`said` is who gave the path, for messages."""
    path = path.absolute()
    text = _text(path, said)
    data = _ours(path, _parsed(path, text))
    if data is None:
        raise ConfigError(f"{said}{shown(path)} has no table [tool.hive-state]")
    return Config(data, path, text)


def _text(path: Path, said: str) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{said}{shown(path)} is not in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{said}{shown(path)} cannot be read: {error.strerror}") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return _loads(text)
    except ValueError as error:  # not its cause: that holds the whole text
        raise ConfigError(f"{shown(path)} is no TOML: {error}") from None


@lru_cache(maxsize=4)
def _loads(text: str) -> dict[str, Any]:
    """Kept, as parsing a long file takes far longer than the rest of `open_store`. Not to be changed."""
    import tomllib

    return tomllib.loads(text)


def _ours(path: Path, data: dict[str, Any]) -> dict[str, Any] | None:
    """What is about us; None if nothing is."""
    if path.name != PYPROJECT:
        return data
    tools = data.get("tool")
    table = tools.get("hive-state") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{shown(path)}: tool.hive-state is a table")
    return table
