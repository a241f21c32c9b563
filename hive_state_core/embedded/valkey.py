"""Valkey, or Redis, of our own."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

from hive_state_core.embedded.process import Supervised
from hive_state_core.embedded.server import Embedded, Own, check_settings
from hive_state_core.embedded.sources import Programs
from hive_state_core.embedded.valkey_programs import VALKEY
from hive_state_core.errors import ConfigError

Fsync = Literal["always", "everysec", "no", "never written"]

_OURS = (
    *("appendfsync", "appendonly", "bind", "daemonize", "dir", "logfile", "loglevel", "port", "requirepass"),
    *("tls-ca-cert-file", "tls-cert-file", "tls-key-file", "tls-port", "unixsocket", "unixsocketperm"),
)
SOCKET = "valkey.sock"
"""The name of its unix socket."""


class Certificate(NamedTuple):
    """PEM files for a server that speaks TLS: its certificate and key, and whom it trusts."""

    certificate: Path
    key: Path
    authority: Path


class _Own(Own):
    ends_by = signal.SIGTERM
    quits_by = signal.SIGTERM
    socket_name = SOCKET

    def __init__(
        self,
        programs: Programs,
        supervised: Supervised,
        settings: Mapping[str, str],
        certificate: Certificate | None,
    ) -> None:
        super().__init__(VALKEY, programs, supervised)
        self._settings = settings
        self._certificate = certificate
        self._password = secrets.token_hex(16)

    def version_of(self, said: str) -> str:
        version = said.partition(" v=")[2].partition(" ")[0]  # Valkey server v=9.1.2 sha=00000000:1 ...
        if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < 7:
            raise ConfigError(f"{self._programs.server} is {said.strip()}; version 7 or newer is needed")
        return version

    def prepare(self, until: float) -> None:
        """Its configuration, where nobody else reads the password."""
        lines = [f"{name} {value}" for name, value in (self._chosen() | dict(self._settings)).items()]
        self._config = self.supervised.write("data/valkey.conf", "\n".join(lines) + "\n")

    def _chosen(self) -> dict[str, str]:
        chosen = {
            "bind": "127.0.0.1",
            "dir": _quoted(self.folder),
            "loglevel": "notice",
            "requirepass": self._password,
            "save": '""',
        }
        if self.socket_directory:
            chosen |= {"unixsocket": _quoted(self.socket_directory / SOCKET), "unixsocketperm": "700"}
        if self._certificate:
            copies = [
                self.supervised.write(f"data/{name}.pem", path.read_text())
                for name, path in self._certificate._asdict().items()
            ]
            names = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")
            chosen |= {name: _quoted(copy) for name, copy in zip(names, copies, strict=True)}
            chosen["tls-auth-clients"] = "no"
        return chosen

    def command(self) -> list[str]:
        ports = ["--port", "0", "--tls-port"] if self._certificate else ["--port"]
        return [str(self.program), str(self._config), *ports, str(self.port)]

    def ready(self, pid: int, log_start: int) -> bool:
        """It says so once the data are loaded, also as a replica that has none yet."""
        return "Ready to accept connections" in self.supervised.log(log_start)

    def port_taken(self, log: str) -> bool:
        return "Address already in use" in log

    def address(self) -> str:
        scheme = "rediss" if self._certificate else "redis"
        return f"{scheme}://:{self._password}@127.0.0.1:{self.port}/0"

    def socket_address(self, directory: Path) -> str:
        return f"redis+unix://:{self._password}@{quote(str(directory / SOCKET))}?db=0"


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class valkey_server(Embedded):  # noqa: N801
    """`with` or `async with valkey_server() as server`: a Valkey for as long as the block runs.

    It comes from `HIVE_STATE_TEST_REDIS_URL`, else from the wheel of `hive-state[embedded]`, else it is
    the `valkey-server` or `redis-server` on PATH; `HIVE_STATE_EMBEDDED_REDIS=url|wheel|path` forces one of
    them. It listens on a free port of 127.0.0.1 and on the unix socket `SOCKET` in `socket_directory`, both
    with a random password. As root it runs as `nobody`.

    `fsync` is what it does for each write: `always` syncs it to disk before the answer, which survives a
    power cut; `everysec` and `no` survive a kill; `never written` keeps nothing on disk. `certificate` makes
    the port speak TLS. `settings` are lines of its configuration. None of them touches a server that comes
    from a URL.

    When the block ends, and also when this process does, in whatever way, no process and no file remains.
    Raises ConfigError if there is no Valkey or it does not start, Unavailable if that takes over 30 s.
    """

    kind = VALKEY
    prefix = "hive-state-valkey-"

    def __init__(
        self,
        *,
        fsync: Fsync = "always",
        certificate: Certificate | None = None,
        settings: Mapping[str, str] = {},
    ) -> None:
        super().__init__()
        check_settings(settings, _OURS)
        if any("\n" in part for line in settings.items() for part in line):
            raise ConfigError("a setting of Valkey is one line")
        durable = (
            {"appendonly": "no"} if fsync == "never written" else {"appendonly": "yes", "appendfsync": fsync}
        )
        self._settings = {**durable, **settings}
        self._certificate = certificate

    def make(self, programs: Programs, supervised: Supervised) -> Own:
        return _Own(programs, supervised, self._settings, self._certificate)
