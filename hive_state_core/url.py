"""Store URLs: `scheme://user:password@host:port/path?option=value`."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from hive_state_core.errors import ConfigError


class StoreURL(msgspec.Struct, frozen=True):
    """A parsed URL. `path` is what follows the authority, percent-decoded, with its leading slash.

    `str()` and `repr()` are redacted: no password ever shows.
    """

    scheme: str
    username: str | None
    password: str | None
    host: str | None
    port: int | None
    path: str
    options: dict[str, str]

    def __str__(self) -> str:
        user = self.username or ""
        if self.password is not None:
            user += ":***"
        host = self.host or ""
        authority = (f"{user}@" if user else "") + host + (f":{self.port}" if self.port else "")
        options = "&".join(f"{k}={'***' if 'password' in k else v}" for k, v in self.options.items())
        return f"{self.scheme}://{authority}{self.path}" + (f"?{options}" if options else "")

    def __repr__(self) -> str:
        return f"StoreURL({str(self)!r})"


def parse_url(text: str) -> StoreURL:
    """Raises ConfigError that quotes no more of the text than its scheme."""
    scheme, separator, _ = text.partition("://")
    if not separator or not scheme:
        raise ConfigError("a store URL looks like sqlite:///hive.db; this one has no scheme followed by ://")
    try:
        parts = urlsplit(text)
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ConfigError(f"the {scheme}:// URL cannot be parsed: host, port or options are malformed") from error
    if parts.fragment:
        raise ConfigError(f"the {scheme}:// URL has a # in it; write %23 instead")
    return StoreURL(
        scheme=scheme.lower(),
        username=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password) if parts.password is not None else None,
        host=parts.hostname,
        port=port,
        path=unquote(parts.path),
        options=options,
    )
