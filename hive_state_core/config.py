"""What a configuration says. `hive_state_core.config_file` finds and reads the file:

    use = "local"                          # the store that is opened when nothing else is said
    namespace = "team-a"

    [stores.local]
    url = "sqlite:///hive.db"              # relative to this file

    [stores.prod]
    backend = "postgres"
    host = "db.internal"
    database = "hive"
    username = "hive"
    password = "env:PGPASSWORD"            # or "file:/run/secrets/pg"

    [retention]
    completed = "7d"

Keys that are not known are errors. A store's table is looked at when that store is used, not before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hive_state_core import validate
from hive_state_core.errors import ConfigError, InvalidArgument
from hive_state_core.options import seconds, suggest
from hive_state_core.retention import COUNTS, Retention
from hive_state_core.toml_lines import line_of

FILE = "hive-state.toml"
PYPROJECT = "pyproject.toml"

FOREVER = "forever"
"""What `[retention]` says of things that are never removed."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What the name of a store looks like."""

_TYPES: dict[str, tuple[type, str]] = {
    "use": (str, "the name of a store"),
    "namespace": (str, "a text"),
    "stores": (dict, "a table of tables: [stores.NAME]"),
    "retention": (dict, "a table: [retention]"),
}


class Config:
    """`data` is a parsed file, `{}` by default. `path` and `text` of the file are for messages; None = it
    was made by a program. Raises ConfigError that names file, line and key.

    use        name of the store to use, None if it does not say
    namespace  None if it does not say
    stores     name -> table, as it was written; it may hold secrets, which the repr does not show
    kept       `[retention]` as it was written
    retention  what that means
    """

    def __init__(
        self, data: Mapping[str, Any] | None = None, path: Path | None = None, text: str = ""
    ) -> None:
        data = data or {}
        self.path: Path | None = path
        self._text = text
        self._check_keys(data)
        self.use: str | None = data.get("use")
        self.namespace: str | None = data.get("namespace")
        self.stores: Mapping[str, Mapping[str, object]] = data.get("stores", {})
        self.kept: Mapping[str, object] = data.get("retention", {})
        self._check_names()
        self.retention: Retention = Retention(
            **{kind: self._kept(kind, value) for kind, value in self.kept.items()}
        )

    def __repr__(self) -> str:
        return f"Config({self.path and str(self.path)!r}, use={self.use!r}, stores={sorted(self.stores)})"

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.path.parent if self.path else Path()

    def where(self, *keys: str) -> str:
        """The file, with the line of the key if that can be told: hive-state.toml:7."""
        if self.path is None:
            return "the configuration"
        prefix = ("tool", "hive-state") if self.path.name == PYPROJECT else ()
        line = line_of(self._text, *prefix, *keys)
        return shown(self.path) + (f":{line}" if line else "")

    def label(self, *keys: str) -> str:
        """How a message about a key begins: hive-state.toml:7: stores.prod.url."""
        return f"{self.where(*keys)}: {'.'.join(keys)}"

    def table(self, name: str) -> Mapping[str, object]:
        """The table of a store. Raises ConfigError if there is none of this name."""
        if name in self.stores:
            return self.stores[name]
        if self.path is None and not self.stores:
            raise ConfigError(f"there is no store {name!r}: no {FILE} was found here or in a folder above")
        raise ConfigError(f"there is no store {name!r} in {self.where('stores')}{suggest(name, self.stores)}")

    def _check_keys(self, data: Mapping[str, Any]) -> None:
        for key, value in data.items():
            if key not in _TYPES:
                raise ConfigError(f"{self.label(key)} is not known{suggest(key, _TYPES)}")
            kind, words = _TYPES[key]
            if not isinstance(value, kind):
                raise ConfigError(f"{self.label(key)} is {words}")

    def _check_names(self) -> None:
        for name, table in self.stores.items():
            if not NAME.fullmatch(name):
                raise ConfigError(
                    f"{self.label('stores', name)}: a store's name is of letters, digits, - and _"
                )
            if not isinstance(table, dict):
                raise ConfigError(f"{self.label('stores', name)} is a table: [stores.{name}]")
        if self.use is not None and not NAME.fullmatch(self.use):
            raise ConfigError(f"{self.label('use')} is the name of a store, as in [stores.NAME]")
        try:
            if self.namespace is not None:
                validate.name(self.namespace, "it")
        except InvalidArgument as error:
            raise ConfigError(f"{self.label('namespace')} cannot be used: {error}") from error

    def _kept(self, kind: str, value: object) -> int | None:
        """Milliseconds, or how many; None = for ever."""
        label = self.label("retention", kind)
        if kind not in Retention.__struct_fields__:
            raise ConfigError(f"{label} is not known{suggest(kind, Retention.__struct_fields__)}")
        if value == FOREVER:
            return None
        if kind in COUNTS:
            if type(value) is int and value > 0:
                return value
            raise ConfigError(f'{label} is a whole number from 1 on, or "{FOREVER}"')
        try:
            return max(1, round(seconds(str(value)) * 1000))
        except ValueError:
            raise ConfigError(f'{label} is a duration such as 3600, "12h" or "7d", or "{FOREVER}"') from None


def shown(path: Path) -> str:
    """The path as seen from the working directory, if it is below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
