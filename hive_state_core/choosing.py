"""Which store is meant. Strongest first: what the caller says, HIVE_STATE_URL, HIVE_STATE_USE, `use` of the
configuration file, sqlite:///hive-state.db."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hive_state_core.config import NAME, Config
from hive_state_core.config_file import read_config
from hive_state_core.errors import ConfigError
from hive_state_core.features import Facility
from hive_state_core.following import Following
from hive_state_core.member import Member
from hive_state_core.options import settled
from hive_state_core.plugins import Backend, backend_for
from hive_state_core.store_tables import place_of
from hive_state_core.url import DEFAULT_URL, StoreURL, parse_url

if TYPE_CHECKING:
    from hive_state_core.caching import Cache
    from hive_state_core.spi import Driver

URL = "HIVE_STATE_URL"
USE = "HIVE_STATE_USE"
DEFAULT = "default"


class Choice(NamedTuple):
    """A store that was chosen, and what it was chosen by. `open_store` takes it.

    name    under which it is configured, None for a store by URL
    source  argument, HIVE_STATE_URL, HIVE_STATE_USE, default, or a place in the file: hive-state.toml:1
    config  what the file says besides; names of other stores are looked up there
    """

    url: StoreURL
    backend: Backend
    name: str | None
    source: str
    config: Config

    def driver(self, namespace: str, follow: bool = False) -> Driver:
        """An unopened driver; with `follow` one that goes where the hive goes, if the configuration names
        other stores. Raises ConfigError."""
        stores = Stores(self.config, namespace, (self.name,) if self.name else ())
        driver = _driver(self, stores)
        if not follow or not stores.names or isinstance(driver, Following):
            return driver
        if not driver.features.has(Facility.REPLICATION):
            return driver
        return Following(Member(self.name or str(self.url), driver), stores.driver, stores.names)


class Stores:
    """What a backend that is made of other stores connects them with. They are in its own namespace."""

    def __init__(self, config: Config, namespace: str, path: tuple[str, ...] = ()) -> None:
        self.namespace: str = namespace
        self._config = config
        self._path = path

    @property
    def own(self) -> str | None:
        """The name under which the store is configured that is made of them; None: it is opened by URL."""
        return self._path[-1] if self._path else None

    @property
    def names(self) -> list[str]:
        """Of all configured stores but that which is made of them."""
        return [name for name in self._config.stores if name not in self._path]

    def driver(self, name: str, beside: str = "") -> Driver:
        """The unopened driver of a configured store. Raises ConfigError, also if that is made of this one.
        `beside`: of a namespace that is named after this one and that word, for what no hive lives in."""
        if name in self._path:
            chain = " of ".join([*self._path, name])
            raise ConfigError(f"{self._config.label('stores', name)} is made of itself: {chain}")
        choice = _by_name(name, "argument", self._config)
        namespace = f"{self.namespace}/{beside}" if beside else self.namespace
        return _driver(choice, Stores(self._config, namespace, (*self._path, name)))

    def cache(self, name: str) -> Cache:
        """The unopened cache that a configured store can be. Raises ConfigError, also if it can be none."""
        choice = _by_name(name, "argument", self._config)
        try:
            return choice.backend.cached(choice.url, self.namespace)
        except ConfigError as error:
            raise ConfigError(f"{self._config.label('stores', name)}: {error}") from error


def choose(
    store: str | None = None,
    config: Config | Path | str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Choice:
    """The store that `store` (a URL or a configured name; None = nothing) and the surroundings mean.

    `config` is a file, or None for the one that is found. Raises ConfigError; quotes no more of a URL than
    its scheme.
    """
    found = read_config(config, environ)
    if store is not None:
        return _by_url(store, "argument", found) if "://" in store else _by_name(store, "argument", found)
    if url := environ.get(URL):
        return _by_url(url, URL, found)
    if name := environ.get(USE):
        return _by_name(name, USE, found)
    if found.use is not None:
        return _by_name(found.use, found.where("use"), found)
    if found.stores:
        names = ", ".join(sorted(found.stores))
        raise ConfigError(f"{found.where('stores')} does not say which store to use: use = one of {names}")
    return _by_url(DEFAULT_URL, DEFAULT, found)


def _by_url(text: str, source: str, config: Config) -> Choice:
    try:
        url = parse_url(text)
        backend = backend_for(url)
        return Choice(settled(url, backend.options), backend, None, source, config)
    except ConfigError as error:
        if source != URL:
            raise
        raise ConfigError(f"{source}: {error}") from error


def _by_name(name: str, source: str, config: Config) -> Choice:
    if not NAME.fullmatch(name):  # it may be a URL with a slip, so nothing of it is quoted
        what = "the store" if source == "argument" else source
        raise ConfigError(
            f"{what} is neither a URL, such as {DEFAULT_URL}, nor the name of a configured store"
        )
    try:
        backend, url = place_of(config, name)
    except ConfigError as error:
        if source != USE or name in config.stores:
            raise
        raise ConfigError(f"{source}: {error}") from error
    return Choice(url, backend, name, source, config)


def _driver(choice: Choice, stores: Stores) -> Driver:
    try:
        return choice.backend.driver(choice.url, stores.namespace, stores)
    except ConfigError as error:
        if choice.name is None:
            raise
        raise ConfigError(f"{choice.config.label('stores', choice.name)}: {error}") from error
