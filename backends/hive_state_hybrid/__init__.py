"""The hybrid backend: a durable store that is the truth, and a fast one in front of it that answers reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hive_state_core.hookspecs import hookimpl
from hive_state_core.plugins import Backend
from hive_state_hybrid.options import OPTIONS

if TYPE_CHECKING:
    from hive_state_core.baselines import Rival
    from hive_state_core.choosing import Stores
    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL


def _compose(url: StoreURL, _namespace: str, stores: Stores) -> Driver:
    from hive_state_hybrid.driver import HybridDriver
    from hive_state_hybrid.options import parse_options
    from hive_state_hybrid.parted import PartedDriver

    options = parse_options(url)
    durable, cache = stores.driver(options.durable), stores.cache(options.fast)
    if not options.ephemeral:
        return HybridDriver(durable, cache, options)
    return PartedDriver(durable, cache, stores.driver(options.fast, beside="ephemeral"), options)


def _rival(url: StoreURL, workload: str) -> Rival:
    """What the cache is there for is compared with a plain cache, all else with the durable store alone."""
    from hive_state_core.baselines import Rival
    from hive_state_hybrid.options import parse_options

    options = parse_options(url)
    hot = workload == "get_hot"
    return Rival(options.fast if hot else options.durable, by_hand=hot)


@hookimpl
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """The scheme `hybrid`."""
    register(
        Backend(
            name="hybrid",
            schemes=("hybrid",),
            summary="A durable store with a fast one in front of it, such as PostgreSQL and Redis.",
            compose=_compose,
            rival=_rival,
            options=OPTIONS,
        )
    )
