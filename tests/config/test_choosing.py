"""Which store is meant: the order of precedence, and stores that are made of other stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hive_state_core import open_store
from hive_state_core.choosing import choose
from hive_state_core.config import Config
from hive_state_core.errors import ConfigError
from hive_state_core.spi import Retention

from .conftest import SECRET, Write

FILE = """
use = "local"
namespace = "blue"
[stores.local]
url = "toy://local"
[stores.prod]
url = "toy://prod"
[retention]
dead = "1s"
"""


def refusal(*args: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        choose(*args).driver("n")
    assert SECRET not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"
    return str(caught.value)


def test_precedence(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def now(store: str | None = None) -> tuple[str, str | None, str]:
        choice = choose(store)
        return str(choice.url), choice.name, choice.source

    assert now() == ("sqlite:///hive-state.db", None, "default")
    write(FILE)
    assert now() == ("toy://local", "local", "hive-state.toml:2")
    monkeypatch.setenv("HIVE_STATE_USE", "prod")
    assert now() == ("toy://prod", "prod", "HIVE_STATE_USE")
    monkeypatch.setenv("HIVE_STATE_URL", f"toy://u:{SECRET}@env")
    assert now() == ("toy://u:***@env", None, "HIVE_STATE_URL")
    assert now("local") == ("toy://local", "local", "argument")
    assert now("toy://arg") == ("toy://arg", None, "argument")
    monkeypatch.setenv("HIVE_STATE_URL", "")
    monkeypatch.setenv("HIVE_STATE_USE", "")
    assert now() == ("toy://local", "local", "hive-state.toml:2"), "empty is as good as not set"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HIVE_STATE_URL": "hunter2"}, "HIVE_STATE_URL: a store URL looks like"),
        (
            {"HIVE_STATE_URL": "toyy://hunter2@h"},
            "HIVE_STATE_URL: no backend has the scheme toyy://; did you mean",
        ),
        (
            {"HIVE_STATE_URL": "toy://h?sizes=1"},
            "HIVE_STATE_URL: toy:// has no option 'sizes'; did you mean size?",
        ),
        ({"HIVE_STATE_USE": "prd"}, "HIVE_STATE_USE: there is no store 'prd' in hive-state.toml; did you"),
        ({"HIVE_STATE_USE": "toy://u:hunter2@h"}, "HIVE_STATE_USE is neither a URL, such as"),
    ],
)
def test_a_wrong_environment(
    environment: dict[str, str], said: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(FILE)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert refusal().startswith(said)


@pytest.mark.parametrize("store", ["toy:/u:hunter2@h", "hunter2.db", ""])
def test_what_is_neither_url_nor_name_is_not_quoted(store: str) -> None:
    said = "the store is neither a URL, such as sqlite:///hive-state.db, nor the name of a configured store"
    assert refusal(store) == said


def test_a_file_that_does_not_say_which(write: Write) -> None:
    write("[stores.b]\nurl = 'toy://b'\n[stores.a]\nurl = 'toy://a'")
    assert refusal() == "hive-state.toml does not say which store to use: use = one of a, b"
    write("[retention]\ndead = 1")
    assert choose().source == "default"


def test_use_of_a_store_that_is_not_there(write: Write) -> None:
    write("use = 'prod'")
    assert refusal() == "there is no store 'prod' in hive-state.toml; there are none"


def test_what_only_the_backend_knows_is_told_with_the_place(write: Write) -> None:
    assert refusal("postgres://h") == "postgres:// names no database; write postgres://user@host/database"
    write("[stores.prod]\nbackend = 'postgres'")
    assert refusal("prod").startswith("hive-state.toml:1: stores.prod: postgres:// names no database; write")


# --- open_store ------------------------------------------------------------------------------------


def test_open_store_takes_names_files_and_choices(write: Write, tmp_path: Path) -> None:
    other = write("[stores.local]\nbackend = 'memory'\nname = 'x'", "other.toml")
    assert str(open_store("local", config=other).url) == "memory://x"
    assert str(open_store("local", config=str(other)).url) == "memory://x"
    assert str(open_store("a", config=Config({"stores": {"a": {"url": "memory://"}}})).url) == "memory://"
    assert open_store(choose("memory://y")).url.host == "y"


def test_namespace_and_retention_come_from_the_file(write: Write) -> None:
    assert open_store("memory://").namespace == "default"
    write(FILE)
    store = open_store("memory://")
    assert (store.namespace, store.retention.dead) == ("blue", 1000)
    said = open_store("memory://", namespace="red", retention=Retention(dead=5))
    assert (said.namespace, said.retention.dead) == ("red", 5)
    with pytest.raises(ValueError):
        open_store("memory://", namespace="")


async def test_sweep_keeps_what_the_configuration_says(write: Write) -> None:
    write("[retention]\ncompleted = '1ms'")
    async with open_store("memory://") as hive:
        await hive.tasks.enqueue("q", 1)
        for lease in await hive.tasks.claim("q", worker="w"):
            await hive.tasks.complete(lease)
        assert (await hive.sweep(retention=Retention())).tasks_removed == 0
        while not (await hive.sweep()).tasks_removed:
            pass


# --- stores made of stores -------------------------------------------------------------------------


def test_a_store_made_of_others() -> None:
    config = Config(
        {
            "stores": {
                "a": {"url": "toy://a"},
                "b": {"url": "toy://b"},
                "ab": {"backend": "pair", "first": "a", "second": "b"},
                "abb": {"url": "pair://?first=ab", "second": "b"},
            }
        }
    )
    driver: Any = choose("abb", config).driver("blue")
    ((a, b), again) = driver
    assert [url.host for url, _ in (a, b, again)] == ["a", "b", "b"]
    assert {namespace for _, namespace in (a, b, again)} == {"blue"}
    by_url: Any = choose("pair://?first=a&second=a", config).driver("n")
    assert [url.host for url, _ in by_url] == ["a", "a"], "twice the same is no circle"


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("ab", "the configuration: stores.ab is made of itself: ab of ab"),
        ("c", "the configuration: stores.ab is made of itself: ab of c of ab"),
        ("aa", "there is no store 'aa' in the configuration; did you mean"),
        ("toy://u:hunter2@h", "the store is neither"),
        ("bad", "the configuration: stores.bad.size is a whole number"),
    ],
)
def test_a_store_that_cannot_be_made(first: str, said: str) -> None:
    config = Config(
        {
            "stores": {
                "a": {"url": "toy://a"},
                "ab": {"backend": "pair", "first": first, "second": "a"},
                "c": {"backend": "pair", "first": "a", "second": "ab"},
                "bad": {"url": "toy://a", "size": "x"},
            }
        }
    )
    told = refusal("ab", config)
    assert said in told
    assert told.startswith("the configuration: stores.ab: ")
