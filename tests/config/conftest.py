"""No configuration from outside, and backends that open nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from hive_state_core.options import Option, Type
from hive_state_core.plugins import Backend, register_backend
from hive_state_core.spi import Driver
from hive_state_core.url import StoreURL

SETTINGS = ("HIVE_STATE_URL", "HIVE_STATE_USE", "HIVE_STATE_CONFIG")
SECRET = "hunter2"

TOY = (
    Option(name="host", part="host", doc="the host", default="nowhere"),
    Option(name="port", part="port", type=Type.WHOLE, least=1, most=65535, doc="its port", default=7),
    Option(name="username", part="username", doc="the user"),
    Option(name="password", part="password", secret=True, doc="the password"),
    Option(name="path", part="path", type=Type.FILE, doc="a file"),
    Option(name="size", type=Type.WHOLE, least=1, doc="a size", default=5),
    Option(name="wait", type=Type.SECONDS, doc="a time", default=1.5),
    Option(name="quick", type=Type.FLAG, doc="a flag", default=False),
    Option(name="mode", choices=("Read", "Write"), doc="a mode", default="Read"),
    Option(name="key_file", type=Type.FILE, doc="another file"),
    Option(name="credential", secret=True, doc="a secret with a name that does not tell"),
)
PAIR = (
    Option(name="first", type=Type.STORE, doc="one store"),
    Option(name="second", type=Type.STORE, doc="another"),
)


def _connect(url: StoreURL, namespace: str) -> Driver:
    return cast("Driver", (url, namespace))


def _compose(url: StoreURL, namespace: str, stores: Any) -> Driver:
    return cast("Driver", (stores.driver(url.options["first"]), stores.driver(url.options["second"])))


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The backends `toy` and `pair`, in an empty working directory."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.chdir(tmp_path)
    toy = Backend(name="toy", schemes=("toy", "toys"), summary="A toy.", connect=_connect, options=TOY)
    pair = Backend(name="pair", schemes=("pair",), summary="Two stores.", compose=_compose, options=PAIR)
    with register_backend(toy), register_backend(pair):
        yield


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file below the working directory."""

    def make(text: str, name: str = "hive-state.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make
