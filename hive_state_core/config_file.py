"""Finding and reading the configuration: `hive-state.toml`, or `[tool.hive-state]` of a pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    return _nearest(Path.cwd())


def _nearest(folder: Path) -> Config:
    """In one folder, hive-state.toml comes before a pyproject.toml, which counts only if it has our table."""
    for place in (folder, *folder.parents):
        if (place / FILE).is_file():
            return _load(place / FILE, "")
        path = place / PYPROJECT
        if path.is_file() and "hive-state" in (text := _text(path, "")):
            data = _ours(path, _parsed(path, text))
            if data is not None:
                return Config(data, path, text)
    return Config()


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
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{shown(path)} is no TOML: {error}") from None


def _ours(path: Path, data: dict[str, Any]) -> dict[str, Any] | None:
    """What is about us; None if nothing is."""
    if path.name != PYPROJECT:
        return data
    tools = data.get("tool")
    table = tools.get("hive-state") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{shown(path)}: tool.hive-state is a table")
    return table
