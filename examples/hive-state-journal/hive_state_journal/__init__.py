"""The backend `journal`: a store in one append-only file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hive_state_core.hookspecs import hookimpl
from hive_state_core.options import Option, Type
from hive_state_core.plugins import Backend

if TYPE_CHECKING:
    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL

OPTIONS = (
    Option(name="path", type=Type.FILE, part="path", doc="the file; it is made if it is not there"),
    Option(
        name="timeout",
        type=Type.SECONDS,
        default=10.0,
        doc="how long to wait for other processes before a call is given up as Unavailable",
    ),
)


def _connect(url: StoreURL, namespace: str) -> Driver:
    from hive_state_journal.driver import JournalDriver

    return JournalDriver(url, namespace)


@hookimpl
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """The scheme `journal`."""
    register(
        Backend(
            name="journal",
            schemes=("journal",),
            summary="One append-only file, held in memory; an example.",
            connect=_connect,
            options=OPTIONS,
        )
    )
