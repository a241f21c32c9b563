"""The other side of a declaration: what a driver does not offer must be refused before any I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from msgspec.structs import replace

from hive_state_conformance.env import Env, raises
from hive_state_core.errors import Unsupported
from hive_state_core.features import Facility
from hive_state_core.spi import Driver
from hive_state_core.store import Store

Verb = Callable[[Store], Any]


async def _loading(store: Store) -> object:
    return store.loading()


async def _replication(store: Store) -> object:
    return store.replication()


VERBS: dict[Facility, tuple[Verb, ...]] = {
    Facility.TASKS: (
        lambda store: store.tasks.enqueue("q", 1),
        lambda store: store.tasks.claim("q", worker="w"),
        lambda store: store.tasks.get("t"),
        lambda store: store.tasks.count(),
    ),
    Facility.DEPENDENCIES: (lambda store: store.tasks.enqueue("q", 1, depends_on=["parent"]),),
    Facility.IMPORT: (_loading,),
    Facility.REPLICATION: (_replication,),
    Facility.REQUIREMENTS: (lambda store: store.tasks.enqueue("q", 1, requires=["skill"]),),
    Facility.STREAMS: (
        lambda store: store.events.publish("s", 1),
        lambda store: store.events.read("s"),
        lambda store: store.events.create_group("s", "g"),
        lambda store: store.events.claim("s", "g"),
        lambda store: store.events.lag("s", "g"),
        lambda store: store.checkpoints.save("c", 1),
        lambda store: anext(store.events.pending("s", "g")),
        lambda store: store.checkpoints.latest("c"),
    ),
}
"""How a user would reach each facility."""


class Watched:
    """A driver that notes which of its methods were called."""

    def __init__(self, driver: Driver, lacking: Facility) -> None:
        self._driver = driver
        self.called: list[str] = []
        declared = driver.features
        self.features = replace(declared, facilities=declared.facilities - {lacking})

    @property
    def namespace(self) -> str:
        return self._driver.namespace

    def __getattr__(self, name: str) -> object:
        self.called.append(name)
        return getattr(self._driver, name)


async def refused_as_declared(env: Env, facilities: Iterable[Facility]) -> None:
    """Fails unless every verb of these facilities raises Unsupported and the driver is never called."""
    for facility in facilities:
        if facility is Facility.OUTCOMES:  # users do not reach it: the driver itself refuses
            await raises(Unsupported, env.driver.outcome("no such trip"))
        for verb in VERBS.get(facility, ()):
            watched = Watched(env.driver, facility)
            store = Store(cast(Driver, watched), backend=env.store.backend, url=env.store.url)
            watched.called.clear()  # a Store looks at what its driver can do
            error = cast(Unsupported, await raises(Unsupported, partial(verb, store)))
            asked = (facility.value, Facility.TASKS.value)
            assert error.feature in asked, f"refused for lack of {error.feature!r}, not of {facility.value!r}"
            assert not watched.called, f"refused only after {watched.called} of the driver"


async def refused_without(env: Env) -> None:
    """The same for every facility in turn, as if the driver did not declare it."""
    await refused_as_declared(env, VERBS)
