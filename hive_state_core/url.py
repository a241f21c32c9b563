"""Store URLs: `scheme://user:password@host:port/path?option=value`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any, final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hive_state_core.errors import ConfigError

DEFAULT_URL = "sqlite:///hive-state.db"
"""The store that is opened when nothing else is said."""

SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
"""What a scheme looks like, in the lower case that `parse_url` gives it."""

_SECRET = re.compile(r"pass|pwd|secret|token|api_?key", re.IGNORECASE)
_TYPED_PASSWORD = re.compile(r"(://[^\s/?#:@]*:)\S*@")
_TYPED_OPTION = re.compile(rf"([?&][^\s=&]*(?:{_SECRET.pattern})[^\s=&]*=)[^\s&]*", re.IGNORECASE)
_SERVER = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@final
class StoreURL:
    """A parsed URL. `path` is what follows the authority, percent-decoded, with its leading slash.

    `str()` and `repr()` are redacted: no password ever shows, nor an option that sounds like one or is
    named in `secrets`. They are for people; they do not parse back. Not to be changed: see `replaced`.
    Of several servers with commas between, `host` has them all, each with its port, and `port` is None.
    """

    # no dataclass and no Struct: those can be made JSON, password and all
    __slots__ = ("host", "options", "password", "path", "port", "scheme", "secrets", "username")

    def __init__(
        self,
        scheme: str,
        *,
        username: str | None = None,
        password: str | None = None,
        host: str | None = None,
        port: int | None = None,
        path: str = "",
        options: Mapping[str, str] = {},
        secrets: Set[str] = frozenset(),
    ) -> None:
        self.scheme: str = scheme
        self.username: str | None = username
        self.password: str | None = password
        self.host: str | None = host
        self.port: int | None = port
        self.path: str = path
        self.options: Mapping[str, str] = options
        self.secrets: Set[str] = secrets

    def replaced(self, **changes: Any) -> StoreURL:
        """The same URL, but for what is given."""
        return StoreURL(**{name: getattr(self, name) for name in self.__slots__} | changes)

    def __str__(self) -> str:
        user = self.username or ""
        if self.password is not None:
            user += ":***"
        host = (self.host or "").replace("/", "%2F")  # the folder of a socket
        if ":" in host and "," not in host:
            host = f"[{host}]"
        port = f":{self.port}" if self.port is not None else ""
        authority = (f"{user}@" if user else "") + host + port
        options = "&".join(f"{name}={self._shown(name)}" for name in self.options)
        return f"{self.scheme}://{authority}{self.path}" + (f"?{options}" if options else "")

    def _shown(self, option: str) -> str:
        return "***" if option in self.secrets or _SECRET.search(option) else self.options[option]

    def __repr__(self) -> str:
        return f"StoreURL({str(self)!r})"


def without_secrets(text: str) -> str:
    """A sentence that may quote a URL as somebody typed it, where none belongs."""
    return _TYPED_OPTION.sub(r"\1***", _TYPED_PASSWORD.sub(r"\1***@", text))


def parse_url(text: str) -> StoreURL:
    """Raises ConfigError that quotes no more of the text than its scheme."""
    scheme, separator, _ = text.partition("://")
    scheme = scheme.lower()
    if not separator or not SCHEME.fullmatch(scheme):
        raise ConfigError(f"a store URL looks like {DEFAULT_URL}; this one has no scheme followed by ://")
    if _CONTROL.search(text):
        # urlsplit would drop some of them silently, and so name another file
        raise ConfigError(f"the {scheme}:// URL has a line break or another control character in it")
    try:
        parts = urlsplit(text)
        host, port = _place(parts)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # `from None`: the native error quotes what it could not parse, which may be the password
        raise ConfigError(
            f"the {scheme}:// URL cannot be parsed: host, port or options are malformed "
            "(in a password, write / ? # @ as %2F %3F %23 %40)"
        ) from None
    if parts.fragment:
        raise ConfigError(f"the {scheme}:// URL has a # in it; write %23 instead")
    return StoreURL(
        scheme,
        username=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password) if parts.password is not None else None,
        host=host,
        port=port,
        path=unquote(parts.path),
        options=_once_each(options, scheme),
    )


def _place(parts: SplitResult) -> tuple[str | None, int | None]:
    """Host and port. Raises ValueError if they are malformed."""
    servers = parts.netloc.rpartition("@")[2]
    if "," not in servers:
        return parts.hostname, parts.port
    if not all(map(_SERVER.fullmatch, servers.split(","))):
        raise ValueError("not a list of servers")
    return servers.lower(), None


def _once_each(options: list[tuple[str, str]], scheme: str) -> dict[str, str]:
    """The options as a dict. Raises ConfigError if one comes twice: which of the two was meant?"""
    found = dict(options)
    if len(found) < len(options):
        raise ConfigError(f"the {scheme}:// URL gives an option twice")
    return found
