"""`env:NAME` and `file:PATH`: where a value of the configuration is, so that no secret need stand in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hive_state_core.errors import ConfigError

MOST_BYTES = 64 * 1024
"""Of a file: more is no password, but a mistake."""


def is_reference(text: str) -> bool:
    """Whether the text says where the value is, and is not the value."""
    return text.startswith(("env:", "file:"))


def dereferenced(text: str, label: str, folder: Path, environ: Mapping[str, str] = os.environ) -> str:
    """What the text refers to, or the text itself.

    A file is looked for in `folder`; one line break at its end is taken away, as editors add one. Raises
    ConfigError that names `label` and what is missing, and quotes nothing of what is there.
    """
    kind, _, place = text.partition(":")
    if not is_reference(text):
        return text
    if kind == "env":
        found, what = environ.get(place, ""), f"the environment variable {place}"
        missing = "is empty" if place in environ else "is not set"
    else:
        what, missing = f"the file {folder / place}", "is empty"
        found = _content(folder / place, f"{label}: {what}").removesuffix("\n").removesuffix("\r")
    if not found:
        raise ConfigError(f"{label}: {what} {missing}")
    return found


def _content(path: Path, label: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it has no such name"
        raise ConfigError(f"{label} cannot be read: {reason}") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{label} is longer than {MOST_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{label} is not in UTF-8") from None
