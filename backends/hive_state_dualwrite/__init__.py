"""The dual-write backend: a hive on its way from one configured store to another.

    [stores.moving]
    backend = "dual-write"
    primary = "local"
    secondary = "prod"

It has no engine of its own: the control rows of the two stores say which of them the hive lives in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hive_state_core.hookspecs import hookimpl
from hive_state_core.options import Option, Type
from hive_state_core.plugins import Backend

if TYPE_CHECKING:
    from hive_state_core.choosing import Stores
    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL

OPTIONS = (
    Option(
        name="primary", type=Type.STORE, doc="the store in which the hive lives, before it moves; required"
    ),
    Option(name="secondary", type=Type.STORE, doc="the store to which it moves; required"),
    Option(
        name="ack",
        choices=("primary", "both"),
        default="primary",
        doc="primary: a write is acknowledged once it is in the store that the hive lives in; both: once it"
        " is in the other one too, or ack_timeout is over",
    ),
    Option(
        name="ack_timeout",
        type=Type.SECONDS,
        default=1.0,
        doc="with ack=both: how long the other store is waited for; it gets the write later then",
    ),
    Option(
        name="shadow",
        type=Type.WHOLE,
        default=1,
        least=0,
        most=100,
        doc="percent of the reads that are repeated on the other store in the background, once that has"
        " everything, and compared",
    ),
)


def _compose(url: StoreURL, _namespace: str, stores: Stores) -> Driver:
    from hive_state_dualwrite.driver import dual

    return dual(url, stores)


@hookimpl
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """The scheme `dual-write`."""
    register(
        Backend(
            name="dual-write",
            schemes=("dual-write",),
            summary="Two configured stores, while a hive moves from one to the other.",
            compose=_compose,
            options=OPTIONS,
        )
    )
