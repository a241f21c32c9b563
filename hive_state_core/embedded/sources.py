"""Where a server comes from: a URL that somebody gave, a wheel, or programs that are installed."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from hive_state_core.errors import ConfigError
from hive_state_core.url import parse_url

Source = Literal["url", "wheel", "path"]


class Programs(NamedTuple):
    """The program of a server; others that belong to it are in its folder.

    A copy of `parts`, which are paths below `root`, works at any other place. No parts: it cannot be copied.
    """

    source: Source
    server: Path
    root: Path
    parts: tuple[str, ...] = ()


class Given(NamedTuple):
    """The URL of a server that is not ours to start or stop."""

    url: str
    source: Source = "url"


class Kind(NamedTuple):
    """A kind of server: the settings (environment variables) that choose its source, and how to look for it.

    `hint` says what to install.
    """

    name: str
    url_setting: str
    force_setting: str
    schemes: tuple[str, ...]
    wheel: Callable[[], Programs | None]
    path: Callable[[], Programs | None]
    hint: str


def choose(kind: Kind, environ: Mapping[str, str] = os.environ) -> Given | Programs:
    """The first source there is: URL, wheel, installed programs; or the forced one.

    Raises ConfigError if there is none, or if the forced one is missing; it says what to install or set.
    """
    forced = environ.get(kind.force_setting, "")
    if forced and forced not in get_args(Source):
        allowed = ", ".join(get_args(Source))
        raise ConfigError(f"{kind.force_setting} is {forced!r}; it may be one of {allowed}")
    for source, find in _finders(kind, environ).items():
        if forced in ("", source) and (found := find()):
            return found
    if forced:
        raise ConfigError(
            f"{kind.force_setting} asks for the source {forced!r}, but {_missing(kind)[forced]}"
        )
    raise ConfigError(f"there is no {kind.name} to start: {kind.hint}")


def _finders(kind: Kind, environ: Mapping[str, str]) -> dict[Source, Callable[[], Given | Programs | None]]:
    return {"url": lambda: _given(kind, environ), "wheel": kind.wheel, "path": kind.path}


def _given(kind: Kind, environ: Mapping[str, str]) -> Given | None:
    url = environ.get(kind.url_setting, "")
    if not url:
        return None
    scheme = parse_url(url).scheme
    if scheme not in kind.schemes:
        wanted = " or ".join(f"{each}://" for each in kind.schemes)
        raise ConfigError(f"{kind.url_setting} is a {scheme}:// URL; {kind.name} needs {wanted}")
    return Given(url)


def _missing(kind: Kind) -> dict[str, str]:
    return {
        "url": f"{kind.url_setting} is not set",
        "wheel": f"the wheel is not installed: {kind.hint}",
        "path": f"no programs of {kind.name} are on PATH or where systems install them: {kind.hint}",
    }


class Account(NamedTuple):
    """An account of the system that a server runs under."""

    name: str
    uid: int
    gid: int


def account() -> Account | None:
    """The unprivileged account for our servers if we are root, which servers refuse to run as; else None."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigError("as root, a server runs as the account 'nobody', which this system lacks") from None
    return Account(nobody.pw_name, nobody.pw_uid, nobody.pw_gid)
