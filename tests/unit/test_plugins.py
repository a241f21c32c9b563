"""The registry: plugins come one by one, a broken one hurts nobody, and every refusal says what to do."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any, cast

import msgspec
import pluggy
import pytest

from hive_state_core import plugins
from hive_state_core.errors import ConfigError
from hive_state_core.hookspecs import hookimpl
from hive_state_core.plugins import Backend, Registry
from hive_state_core.spi import Driver
from hive_state_core.url import StoreURL, parse_url

Plugin = Callable[..., EntryPoint]


def connect(url: StoreURL, namespace: str) -> Driver:
    return cast("Driver", (url, namespace))


def backend(name: str, *schemes: str) -> Backend:
    return Backend(name=name, schemes=schemes or (name,), summary=f"Is {name}.", connect=connect)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(plugins.STRICT, raising=False)
    monkeypatch.delenv(plugins.ONLY, raising=False)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Makes an importable module that registers these backends, and its entry point."""

    def make(name: str, *offered: Any, module: str = "") -> EntryPoint:
        target = module or f"third_party_{name}"
        there = ModuleType(target)

        @hookimpl
        def hive_state_register_backends(register: Callable[[Any], None]) -> None:
            for offer in offered:
                if isinstance(offer, BaseException):
                    raise offer
                register(offer)

        there.hive_state_register_backends = hive_state_register_backends  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, target, there)
        return EntryPoint(name, target, "hive_state")

    return make


def missing(name: str) -> EntryPoint:
    return EntryPoint(name, f"no_such_module_{name}", "hive_state")


def refusal(registry: Registry, url: str) -> str:
    with pytest.raises(ConfigError) as caught:
        registry.backend_for(parse_url(url))
    return str(caught.value)


def test_backend_by_scheme(plugin: Plugin) -> None:
    redis = backend("redis", "redis", "rediss")
    registry = Registry([plugin("redis", redis), plugin("memory", backend("memory"))])
    assert registry.backend_for(parse_url("REDISS://h")) is redis
    assert [b.name for b in registry.backends()] == ["memory", "redis"]
    assert registry.failures() == []


@pytest.mark.parametrize("url", ["sqlit://", "SQLite3://", "file:///hive.db"])
def test_did_you_mean(plugin: Plugin, url: str) -> None:
    registry = Registry([plugin("a", backend("sqlite"), backend("memory"))])
    said = refusal(registry, url)
    assert f"{url.partition(':')[0].lower()}://; did you mean sqlite://? (known: memory, sqlite)" in said


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "redis"])
def test_unknown_scheme_shows_nothing_but_the_scheme(plugin: Plugin, scheme: str) -> None:
    said = refusal(Registry([plugin("a", backend("sqlite"))]), f"{scheme}://u:hunter2@secret-host/d")
    assert said == f"no backend has the scheme {scheme}:// (known: sqlite)"


def test_no_plugin_at_all() -> None:
    assert "known: none" in refusal(Registry([]), "file:///x")


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(3), ConfigError("bad")])
def test_a_broken_plugin_hurts_nobody_else(
    plugin: Plugin, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry([plugin("bad", backend("half"), error), missing("gone"), plugin("ok", backend("ok"))])
    with caplog.at_level(logging.WARNING):
        assert registry.backend_for(parse_url("ok://")).name == "ok"
        registry.backends()
    assert [(f.plugin, f.target) for f in registry.failures()] == [
        ("bad", "third_party_bad"),
        ("gone", "no_such_module_gone"),
    ]
    assert registry.failures()[0].error is error
    assert "hive_state_register_backends" in registry.failures()[0].traceback
    assert len(caplog.records) == 2, "each is logged once"
    assert [b.name for b in registry.backends()] == ["ok"], "what it registered before it broke is gone too"


def test_scheme_of_a_broken_plugin_says_why() -> None:
    registry = Registry([missing("redis")])
    for scheme in ("redis", "rediss"):
        said = refusal(registry, f"{scheme}://h")
        assert "plugin 'redis' (no_such_module_redis) failed with ModuleNotFoundError" in said
        assert "set HIVE_STATE_STRICT_PLUGINS=1" in said
    assert "plugin 'redis'" in refusal(registry, "other://h"), "it may be the one that has it"


@pytest.mark.parametrize("offer", ["not a backend", None])
def test_what_is_no_backend_is_a_failure(plugin: Plugin, offer: object) -> None:
    (failure,) = Registry([plugin("odd", offer)]).failures()
    assert failure.plugin == "odd"


def test_a_misspelt_hook_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("third_party_typo")
    module.hive_state_register_backend = hookimpl(lambda register: None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (failure,) = Registry([EntryPoint("typo", module.__name__, "hive_state")]).failures()
    assert isinstance(failure.error, pluggy.PluginValidationError)


def test_strict_raises_the_error_itself_and_can_be_asked_again(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry([plugin("a", backend("a")), missing("redis")])
    monkeypatch.setenv(plugins.STRICT, "1")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module_redis"):
            registry.backends()
    monkeypatch.setenv(plugins.STRICT, "0")
    assert registry.backend_for(parse_url("a://")).name == "a"


def test_restricted(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [plugin("a", backend("a")), plugin("b", backend("b")), missing("redis")]
    monkeypatch.setenv(plugins.ONLY, " b , nobody")
    registry = Registry(entries)
    assert [b.name for b in registry.backends()] == ["b"]
    assert registry.failures() == []
    assert "HIVE_STATE_PLUGINS restricts" in refusal(registry, "a://")
    monkeypatch.setenv(plugins.ONLY, "")
    assert len(Registry(entries).backends()) == 2, "empty is as good as not set"


def test_a_clash_names_both_and_leaves_the_rest_alone(plugin: Plugin) -> None:
    registry = Registry(
        [plugin("one", backend("x", "x", "fine")), plugin("one", backend("y", "x", "also"), module="other")]
    )
    said = refusal(registry, "x://")
    assert said.startswith("x:// is claimed by plugin 'one' (other) and plugin 'one' (third_party_one)")
    assert registry.backend_for(parse_url("fine://")).name == "x"
    assert registry.backend_for(parse_url("also://")).name == "y"
    assert [str(f.error) for f in registry.failures()] == [said]


def test_the_same_entry_point_twice_is_one(plugin: Plugin) -> None:
    entry = plugin("a", backend("a"))
    assert Registry([entry, EntryPoint(entry.name, entry.value, entry.group)]).failures() == []


def test_a_clash_is_raised_when_strict(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.STRICT, "1")
    with pytest.raises(ConfigError, match=r"plugin 'a' .* and plugin 'b'"):
        Registry([plugin("a", backend("x")), plugin("b", backend("x"))]).backends()


def test_registered_in_process(plugin: Plugin) -> None:
    registry = Registry([plugin("a", backend("a"))])
    mine = backend("mine", "mine", "my")
    with registry.register(mine):
        assert registry.backend_for(parse_url("my://")) is mine
        with pytest.raises(ConfigError, match=r"mine:// is claimed by register_backend\(\) and"):
            registry.register(backend("other", "new", "mine"))
    assert "known: a)" in refusal(registry, "mine://"), "neither is left, nor half of the refused one"
    with pytest.raises(ConfigError, match="plugin 'a'"):
        registry.register(backend("a"))


@pytest.mark.parametrize(
    ("name", "schemes"),
    [("", ("x",)), ("x", ()), ("x", ("X",)), ("x", ("x_y",)), ("x", ("x://",)), ("x", ("",)), ("x", "redis")],
)
def test_a_backend_that_cannot_be_reached_is_refused(name: str, schemes: Any) -> None:
    with pytest.raises(ConfigError):
        Backend(name=name, schemes=schemes, summary="", connect=connect)


def test_a_backend_has_either_connect_or_compose() -> None:
    for both in ({}, {"connect": connect, "compose": connect}):
        with pytest.raises(ConfigError, match="needs connect or compose, and not both"):
            Backend(name="x", schemes=("x",), summary="", **both)  # type: ignore[arg-type]


def test_what_is_missing_is_told_with_what_to_do(plugin: Plugin) -> None:
    lacking = Backend(name="x", schemes=("x",), summary="", connect=connect, requires=("no_such_module",))
    with pytest.raises(ConfigError, match=r"^the backend x needs no_such_module \(No module named"):
        lacking.driver(parse_url("x://"), "n", cast("Any", None))
    hinted = msgspec.structs.replace(lacking, install="pip install x")
    with pytest.raises(ConfigError, match=r"^the backend x needs no_such_module: pip install x$"):
        hinted.driver(parse_url("x://"), "n", cast("Any", None))


def test_by_name(plugin: Plugin) -> None:
    registry = Registry(
        [
            plugin("a", backend("twin", "one")),
            plugin("b", backend("twin", "two"), backend("solo")),
            missing("gone"),
        ]
    )
    assert registry.backend_named("solo").schemes == ("solo",)
    for name, said in {
        "twin": r"2 plugins have a backend 'twin'; list those to load in HIVE_STATE_PLUGINS",
        "sole": r"there is no backend 'sole'; did you mean solo\?",
        "gone": r"there is no backend 'gone'; there are solo, twin: plugin 'gone' \(no_such_module_gone\)",
    }.items():
        with pytest.raises(ConfigError, match=said):
            registry.backend_named(name)


def test_many_threads_load_once(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []

    def entries() -> Iterator[EntryPoint]:
        loads.append(1)
        time.sleep(0.05)
        yield plugin("a", backend("a"))

    monkeypatch.setattr(plugins, "entry_points", lambda group: entries())
    registry, found = Registry(), list[str]()
    threads = [
        threading.Thread(target=lambda: found.append(registry.backend_for(parse_url("a://")).name))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["a"] * 8
    assert loads == [1]


def test_a_plugin_may_ask_while_it_is_loaded(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asks:
        @hookimpl
        def hive_state_register_backends(self, register: Callable[[Backend], None]) -> None:
            assert [b.name for b in registry.backends()] == ["a"]

    module = ModuleType("third_party_asks")
    module.it = Asks()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    registry = Registry([plugin("a", backend("a")), EntryPoint("b", "third_party_asks:it", "hive_state")])
    assert registry.failures() == []


def test_importing_the_core_loads_no_plugin_and_no_pluggy() -> None:
    code = "import sys, hive_state_core.plugins; print('pluggy' in sys.modules, 'click' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_installed_plugins_all_load() -> None:
    registry = Registry()
    assert [failure.traceback for failure in registry.failures()] == []
    for entry, _ in registry.plugins():
        assert importlib.import_module(entry.module).__name__ == entry.module
