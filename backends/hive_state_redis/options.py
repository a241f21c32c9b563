"""What a `redis://` URL and its kin, or a table of the configuration, may say.

    redis://user:password@host:6379/0                   one server
    redis+unix:///run/valkey.sock?db=0                  over its unix socket
    redis+sentinel://host1,host2:26379/master           whichever server the sentinels name
    redis+cluster://host1,host2                         whichever node of the cluster has the keys

`rediss` in place of `redis` speaks TLS.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.options import Option, Type, Value, values_of
from hive_state_core.url import StoreURL

Layout: TypeAlias = Literal["server", "unix", "sentinel", "cluster"]
Place: TypeAlias = tuple[str, int]
"""Host and port."""

_LAYOUTS: dict[str, Layout] = {
    "redis": "server",
    "rediss": "server",
    "redis+unix": "unix",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
SCHEMES = tuple(_LAYOUTS)

TLS = (
    Option(
        name="ssl_ca_certs", type=Type.FILE, doc="authorities that are trusted; the default is the system's"
    ),
    Option(name="ssl_certfile", type=Type.FILE, doc="the client's certificate"),
    Option(name="ssl_keyfile", type=Type.FILE, doc="the client's private key"),
    Option(name="ssl_password", secret=True, doc="of that key"),
    Option(
        name="ssl_cert_reqs",
        choices=("required", "none"),
        default="required",
        doc="whether the server's certificate is checked",
    ),
    Option(
        name="ssl_check_hostname",
        type=Type.FLAG,
        default=True,
        doc="whether the certificate must name the host",
    ),
)
OPTIONS = (
    Option(
        name="host",
        part="host",
        default="localhost",
        doc="the server; several as a:26379,b:26379 for sentinels or the nodes of a cluster",
    ),
    Option(
        name="port",
        part="port",
        type=Type.WHOLE,
        least=1,
        most=65535,
        doc="its port; the default is 6379, and 26379 of a sentinel",
    ),
    Option(
        name="path",
        part="path",
        doc="the number of the database; the path of the socket; the name of the sentinels' master",
    ),
    Option(name="db", type=Type.WHOLE, least=0, most=10_000, doc="the number of the database, default 0"),
    Option(name="username", part="username", doc="the ACL user; the default is `default`"),
    Option(name="password", part="password", secret=True, doc="its password"),
    Option(name="sentinel_username", doc="the ACL user on the sentinels"),
    Option(name="sentinel_password", secret=True, doc="its password"),
    Option(name="prefix", default="hive", doc="the word that all keys begin with, in their hash tag"),
    Option(
        name="max_connections",
        type=Type.WHOLE,
        least=1,
        most=10_000,
        default=10,
        doc="of one store; calls beyond share them",
    ),
    Option(
        name="command_timeout",
        type=Type.SECONDS,
        default=10.0,
        doc="after which a call that is not answered is given up",
    ),
    Option(
        name="connect_timeout",
        type=Type.SECONDS,
        default=5.0,
        doc="after which a server that does not answer is not reachable",
    ),
    Option(name="client_name", default="hive-state", doc="shown in CLIENT LIST"),
    Option(
        name="allow_eviction",
        type=Type.FLAG,
        default=False,
        doc="use a server that may evict keys to make room, and so lose state without a word",
    ),
    *TLS,
)
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_CLIENT = re.compile(r"[!-~]{1,64}")


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The values of `OPTIONS`, and made of them:

    layout  how the server is found
    place   the servers in words, for messages
    hosts   the servers, sentinels or nodes; none if `socket` is the path of a unix socket
    master  what the sentinels call the server
    tls     whether connections are encrypted
    files   (option, path) of each file that is named
    """

    layout: Layout
    place: str
    hosts: tuple[Place, ...]
    socket: str | None
    master: str | None
    db: int
    tls: bool
    files: tuple[tuple[str, str], ...]
    username: str | None
    password: str | None
    sentinel_username: str | None
    sentinel_password: str | None
    prefix: str
    max_connections: int
    command_timeout: float
    connect_timeout: float
    client_name: str
    allow_eviction: bool
    ssl_ca_certs: str | None
    ssl_certfile: str | None
    ssl_keyfile: str | None
    ssl_password: str | None
    ssl_cert_reqs: Literal["required", "none"]
    ssl_check_hostname: bool

    def tag(self, namespace: str) -> bytes:
        """The hash tag of the namespace, without braces: all of its keys are in the slot of this.

        A brace in a namespace would end the tag early, so it is written as %7B or %7D, and % as %25.
        """
        for letter, code in (("%", "%25"), ("{", "%7B"), ("}", "%7D")):
            namespace = namespace.replace(letter, code)
        return f"{self.prefix}:{namespace}".encode()

    def __repr__(self) -> str:
        return f"RedisOptions({self.place!r}, db={self.db})"


def parse_options(url: StoreURL) -> RedisOptions:
    """Raises ConfigError, naming what is wrong."""
    values = values_of(url, OPTIONS)
    layout = _LAYOUTS[url.scheme]
    socket, master, db = _path(url, layout, values)
    hosts = () if socket else tuple(_hosts(layout, values))
    if layout == "server" and len(hosts) > 1:
        raise ConfigError(
            f"{url.scheme}:// names {len(hosts)} hosts; it is one, or redis+sentinel:// or redis+cluster://"
        )
    _check(url, layout, values, db)
    made = {
        "layout": layout,
        "hosts": hosts,
        "socket": socket,
        "master": master,
        "db": db,
        "place": _place(hosts, socket, master),
        "tls": url.scheme.startswith("rediss"),
        "files": [
            (option.name, values[option.name])
            for option in TLS
            if option.type is Type.FILE and values[option.name] is not None
        ],
    }
    return msgspec.convert({**values, **made}, RedisOptions)


def _path(url: StoreURL, layout: Layout, values: dict[str, Value]) -> tuple[str | None, str | None, int]:
    """Socket, master and database: what the path of the URL is depends on the layout."""
    path, given = url.path.removeprefix("/"), values["db"]
    if layout == "unix":
        if not path or url.host:
            raise ConfigError(
                "redis+unix:// is followed by the path of a socket: redis+unix:///run/valkey.sock"
            )
        return url.path, None, int(given or 0)
    master, _, number = path.partition("/") if layout == "sentinel" else ("", "", path)
    if layout == "sentinel" and not master:
        raise ConfigError(f"{url.scheme}:// names no master; write {url.scheme}://host1,host2/master")
    if number == "":
        return None, master or None, int(given or 0)
    if not number.isascii() or not number.isdigit():
        raise ConfigError(f"the path of {url.scheme}:// is the number of a database, not {number!r}")
    if given is not None and given != int(number):
        raise ConfigError(f"{url.scheme}:// names database {number} in its path, and {given} as option db")
    return None, master or None, int(number)


def _hosts(layout: Layout, values: dict[str, Value]) -> list[Place]:
    port = int(values["port"] or (26379 if layout == "sentinel" else 6379))
    return [_server(text, port) for text in str(values["host"]).split(",")]


def _server(text: str, port: int) -> Place:
    """name, name:port, [IPv6]:port or IPv6; with the given port if it has none of its own."""
    name, colon, own = text.rpartition(":")
    if not colon or (":" in name and not name.endswith("]")):
        name, own = text, ""
    if not name or (own and not (own.isascii() and own.isdigit() and 0 < int(own) < 65536)):
        raise ConfigError("option host of redis:// is a server, or several: host:port,host:port")
    return name.strip("[]"), int(own) if own else port


def _place(hosts: tuple[Place, ...], socket: str | None, master: str | None) -> str:
    servers = socket or ",".join(f"{host}:{port}" for host, port in hosts)
    return f"{master} of {servers}" if master else servers


def _check(url: StoreURL, layout: Layout, values: dict[str, Value], db: int) -> None:
    if layout == "cluster" and db:
        raise ConfigError(f"{url.scheme}:// names database {db}; a cluster has only 0")
    if not _PREFIX.fullmatch(str(values["prefix"])):
        raise ConfigError("option prefix of redis:// is up to 32 letters, digits, and any of _ . -")
    if not _CLIENT.fullmatch(str(values["client_name"])):
        raise ConfigError("option client_name of redis:// is up to 64 visible ASCII letters, without a space")
    tls = [option.name for option in TLS if values[option.name] != option.default]
    if tls and not url.scheme.startswith("rediss"):
        raise ConfigError(f"option {tls[0]} needs TLS: write rediss:// instead of redis://")
    if layout != "sentinel" and (values["sentinel_username"] or values["sentinel_password"]):
        raise ConfigError(f"options of sentinels are for redis+sentinel://, not for {url.scheme}://")
    if values["username"] and values["password"] is None:
        raise ConfigError(f"{url.scheme}:// names a user, and no password")
