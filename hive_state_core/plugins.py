"""The registry of backends, filled from the entry points of group `hive_state`.

Plugins are loaded at the first question, one by one. A broken one is put aside with its traceback, logged
once, and shown by `failures()`; the others work. `HIVE_STATE_STRICT_PLUGINS=1` raises the first error as it
is; `HIVE_STATE_PLUGINS=a,b` loads only the entry points with these names.
"""

from __future__ import annotations

import difflib
import logging
import os
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.options import Option, settled, suggest
from hive_state_core.url import DEFAULT_URL, SCHEME, StoreURL

if TYPE_CHECKING:
    import pluggy

    from hive_state_core.baselines import Baseline, Bulk, Rival
    from hive_state_core.caching import Cache
    from hive_state_core.choosing import Stores
    from hive_state_core.spi import Driver

STRICT = "HIVE_STATE_STRICT_PLUGINS"
ONLY = "HIVE_STATE_PLUGINS"

log: logging.Logger = logging.getLogger(__name__)


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """A driver and how to reach it. Raises ConfigError if the name or a scheme cannot be used.

    One of `connect` and `compose` is given. Both take a URL whose options are declared in `options`, and a
    namespace; they give an unopened driver, do no I/O, and raise ConfigError.
    """

    name: str
    schemes: tuple[str, ...]
    summary: str
    """One sentence, for lists."""
    connect: Callable[[StoreURL, str], Driver] | None = None
    compose: Callable[[StoreURL, str, Stores], Driver] | None = None
    """For a backend made of others: its options name configured stores, which `Stores` connects."""
    cache: Callable[[StoreURL, str], Cache] | None = None
    """For a backend that can stand in front of another store: an unopened cache, without I/O."""
    baseline: Callable[[StoreURL], Baseline] | None = None
    """The hand-written competitor that `bench --raw` measures."""
    rival: Callable[[StoreURL, str], Rival] | None = None
    """For a backend made of others, in place of `baseline`: with which of them `bench --raw` compares it in
    the workload of this name."""
    bulk: Callable[[StoreURL], Bulk] | None = None
    """The bare copy that `migrate run --raw` measures."""
    options: tuple[Option, ...] = ()
    """All that a URL or a table of the configuration may say; anything else is refused."""
    requires: tuple[str, ...] = ()
    """Modules that its driver imports and that may be missing."""
    install: str = ""
    """What to do about it, as a command: pip install 'hive-state[postgres]'."""

    def __post_init__(self) -> None:
        # a tuple, because ("abc") is a string, and would be three schemes
        if not (self.name and self.schemes and isinstance(self.schemes, tuple)):
            raise ConfigError(f"the backend {self.name!r} needs a name and a tuple of schemes")
        if not all(map(SCHEME.fullmatch, self.schemes)):
            raise ConfigError(
                f"the backend {self.name!r}: a scheme is written like my-db, not {self.schemes}"
            )
        if (self.connect is None) == (self.compose is None):
            raise ConfigError(f"the backend {self.name!r} needs connect or compose, and not both")

    def driver(self, url: StoreURL, namespace: str, stores: Stores) -> Driver:
        """An unopened driver. Raises ConfigError: an option, or a module that is missing."""
        self.check_installed()
        url = settled(url, self.options)
        if self.connect is not None:
            return self.connect(url, namespace)
        if self.compose is not None:
            return self.compose(url, namespace, stores)
        raise AssertionError("it was made without both")

    def cached(self, url: StoreURL, namespace: str) -> Cache:
        """An unopened cache. Raises ConfigError: an option, a module that is missing, or it is none."""
        if self.cache is None:
            raise ConfigError(f"the backend {self.name} cannot be a cache in front of another store")
        self.check_installed()
        return self.cache(settled(url, self.options), namespace)

    def check_installed(self) -> None:
        """Raises ConfigError that says what to install."""
        for module in self.requires:
            try:
                import_module(module)
            except ImportError as error:
                hint = f": {self.install}" if self.install else f" ({error})"
                raise ConfigError(f"the backend {self.name} needs {module}{hint}") from error


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin, by its entry point's name and target, that could not be used, or not wholly."""

    plugin: str
    target: str
    error: BaseException

    def __str__(self) -> str:
        cause = f"{type(self.error).__name__}: {self.error}".removesuffix(": ")
        return f"plugin '{self.plugin}' ({self.target}) failed with {cause}"

    @property
    def traceback(self) -> str:
        return "".join(traceback.format_exception(self.error))


class Registry:
    """What the entry points offer. The process has one; tests make their own with other entry points."""

    def __init__(self, entries: Iterable[EntryPoint] | None = None) -> None:
        self._entries = entries
        self._lock = threading.RLock()  # re-entrant: a plugin may ask while it is loaded
        self._clear()

    def _clear(self) -> None:
        self._loaded = False
        self._plugins: list[tuple[EntryPoint, pluggy.PluginManager]] = []
        self._claims: dict[str, list[tuple[str, Backend]]] = {}
        self._failures: list[Failure] = []

    def backend_for(self, url: StoreURL) -> Backend:
        """The backend of the URL's scheme. Raises ConfigError: unknown, claimed twice, or not loaded."""
        self._load()
        claims = self._claims.get(url.scheme)
        if not claims:
            raise ConfigError(self._why_unknown(url.scheme))
        if len(claims) > 1:
            raise _clash(url.scheme, claims)
        return claims[0][1]

    def backend_named(self, name: str) -> Backend:
        """The backend of this name, as the configuration gives it. Raises ConfigError as `backend_for`."""
        found = [backend for backend in self.backends() if backend.name == name]
        if not found:
            known = [backend.name for backend in self.backends()]
            raise ConfigError(f"there is no backend {name!r}{suggest(name, known)}{self._what_failed(name)}")
        if len(found) > 1:
            raise ConfigError(f"{len(found)} plugins have a backend {name!r}; list those to load in {ONLY}")
        return found[0]

    def backends(self) -> list[Backend]:
        """All of them, by name; those of a clash too."""
        self._load()
        found = {backend for claims in self._claims.values() for _, backend in claims}
        return sorted(found, key=lambda backend: backend.name)

    def failures(self) -> list[Failure]:
        """What went wrong so far."""
        self._load()
        return list(self._failures)

    def register(self, backend: Backend, by: str = "register_backend()") -> ExitStack:
        """Add a backend; closing the result takes it away. Raises ConfigError if a scheme is taken."""
        self._load()
        with self._lock:
            for scheme in backend.schemes:
                if scheme in self._claims:
                    raise _clash(scheme, [*self._claims[scheme], (by, backend)])
            self._claims.update({scheme: [(by, backend)] for scheme in backend.schemes})
        undo = ExitStack()
        for scheme in backend.schemes:
            undo.callback(self._claims.pop, scheme, None)
        return undo

    def plugins(self) -> list[tuple[EntryPoint, pluggy.PluginManager]]:
        """Those that work, each alone in a manager of its own: its errors are its own."""
        self._load()
        return list(self._plugins)

    def fail(self, entry: EntryPoint, error: BaseException) -> None:
        """Keep and log the error of a plugin; raise it if the environment says strict."""
        if os.environ.get(STRICT, "").lower() not in ("", "0", "false", "no"):
            raise error
        failure = Failure(plugin=entry.name, target=entry.value, error=error)
        self._failures.append(failure)
        log.warning("%s", failure)

    def _load(self) -> None:
        with self._lock:
            if self._loaded:
                return
            self._loaded = True
            try:
                self._load_all()
            except BaseException:  # strict, or Ctrl-C: the next question starts anew
                self._clear()
                raise

    def _load_all(self) -> None:
        only = [name.strip() for name in os.environ.get(ONLY, "").split(",") if name.strip()]
        entries = entry_points(group="hive_state") if self._entries is None else self._entries
        for entry in sorted(set(entries), key=_label):
            if not only or entry.name in only:
                self._load_one(entry)

    def _load_one(self, entry: EntryPoint) -> None:
        from hive_state_core.hookspecs import manager_of

        found: list[Backend] = []
        try:
            manager = manager_of(entry.load())
            manager.hook.hive_state_register_backends(register=found.append)
            claims = [(scheme, (_label(entry), backend)) for backend in found for scheme in backend.schemes]
        except (Exception, SystemExit) as error:
            self.fail(entry, error)
            return
        self._plugins.append((entry, manager))
        for scheme, claim in claims:
            rivals = self._claims.setdefault(scheme, [])
            rivals.append(claim)
            if len(rivals) > 1:
                self.fail(entry, _clash(scheme, rivals))

    def _why_unknown(self, scheme: str) -> str:
        if why := self._what_failed(scheme):
            return f"no backend for {scheme}://{why}"
        known = sorted(self._claims)
        near = difflib.get_close_matches(scheme, known, n=1)
        if not near and scheme == "file":
            near = [default for default in known if DEFAULT_URL.startswith(f"{default}:")]
        guess = f"; did you mean {near[0]}://?" if near else ""
        failed = "".join(f"; {failure}" for failure in self._failures)
        failed += f"; {ONLY} restricts the plugins" if os.environ.get(ONLY) else ""
        return f"no backend has the scheme {scheme}://{guess} (known: {', '.join(known) or 'none'}{failed})"

    def _what_failed(self, wanted: str) -> str:
        """The failure of the plugin that most likely has this scheme or backend, as the end of a sentence."""
        for failure in self._failures:
            if wanted.startswith(failure.plugin.replace("_", "-")):
                return f": {failure}; set {STRICT}=1 to see where"
        return ""


def _label(entry: EntryPoint) -> str:
    return f"plugin '{entry.name}' ({entry.value})"


def _clash(scheme: str, claims: Iterable[tuple[str, Backend]]) -> ConfigError:
    who = " and ".join(label for label, _ in claims)
    return ConfigError(f"{scheme}:// is claimed by {who}; uninstall one, or list those to load in {ONLY}")


registry: Registry = Registry()
"""The one of this process."""

backend_for: Callable[[StoreURL], Backend] = registry.backend_for
backend_named: Callable[[str], Backend] = registry.backend_named
backends: Callable[[], list[Backend]] = registry.backends
failures: Callable[[], list[Failure]] = registry.failures
register_backend: Callable[..., ExitStack[bool | None]] = registry.register
