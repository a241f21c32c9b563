"""Store URLs: what is taken apart, what is refused, and that no secret shows."""

from __future__ import annotations

import traceback

import msgspec
import pytest

from hive_state_core.errors import ConfigError
from hive_state_core.url import DEFAULT_URL, parse_url, without_secrets


def test_parts() -> None:
    url = parse_url("Redis://me:p%40ss@Example.com:6380/a%20b?x=1&y=")
    assert (url.scheme, url.username, url.password) == ("redis", "me", "p@ss")
    assert (url.host, url.port, url.path) == ("example.com", 6380, "/a b")
    assert url.options == {"x": "1", "y": ""}


def test_several_servers() -> None:
    url = parse_url("pg://me:hunter2@A:1,b,[::1]:3/db?x=1")
    assert (url.host, url.port, url.username, url.path) == ("a:1,b,[::1]:3", None, "me", "/db")
    assert str(url) == "pg://me:***@a:1,b,[::1]:3/db?x=1"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (DEFAULT_URL, "/hive-state.db"),
        ("sqlite:////var/hive.db", "//var/hive.db"),
        ("sqlite:///a%3Fb%23c.db", "/a?b#c.db"),
        ("memory://", ""),
        ("legacy-sqlite:///old.db", "/old.db"),
    ],
)
def test_path(text: str, path: str) -> None:
    assert parse_url(text).path == path


@pytest.mark.parametrize(
    "text",
    ["", "hive.db", "sqlite:hive.db", "://x", "1x://y", "u:hunter2@h/x://y", " sqlite:///x"],
)
def test_no_scheme(text: str) -> None:
    with pytest.raises(ConfigError, match="has no scheme") as caught:
        parse_url(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "pg://u:hunter2/x@h/d",  # an unescaped / in the password ends the host
        "pg://u:hunter2#x@h/d",
        "pg://u:hunter2?x@h/d",
        "pg://u:hunter2[@h/d",
        "pg://u:hunter2℀@h/d",
        "pg://u:hunter2@h:99999/d",
        "pg://u:hun,hunter2/x@h/d",
        "pg://u:hunter2@a,,b/d",
        "pg://u:x@a:hunter2,b/d",
        "pg://u:hunter2@h/d#x",
        "pg://h/d?password=hunter2&password=hunter3",
        "pg://h/d?hunter2",
        "pg://u:hunter2@h/d\n",
    ],
)
def test_malformed_urls_name_the_scheme_and_leak_nothing(text: str) -> None:
    with pytest.raises(ConfigError, match="pg://") as caught:
        parse_url(text)
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in "".join(
        line for line in traceback.format_exception_only(caught.value) if "parse_url(" not in line
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pg://u:hunter2@h:1/d?sslmode=on", "pg://u:***@h:1/d?sslmode=on"),
        ("pg://:hunter2@h/d", "pg://:***@h/d"),
        ("pg://h/d?Password=hunter2&auth_token=hunter2", "pg://h/d?Password=***&auth_token=***"),
        ("pg://u@[::1]:5/d", "pg://u@[::1]:5/d"),
        (DEFAULT_URL, DEFAULT_URL),
    ],
)
def test_redacted(text: str, shown: str) -> None:
    url = parse_url(text)
    assert str(url) == shown
    assert repr(url) == f"StoreURL({shown!r})"
    assert "hunter2" not in f"{url} {url!r} {[url]} {url!s:>5}"


def test_what_is_declared_secret_and_what_is_a_folder() -> None:
    url = parse_url("pg://h/d?pin=hunter2&x=1").replaced(secrets={"pin"}, host="/run/pg")
    assert str(url) == "pg://%2Frun%2Fpg/d?pin=***&x=1"
    assert (url.options["pin"], url.host) == ("hunter2", "/run/pg")


def test_it_cannot_be_made_json() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(parse_url("pg://u:hunter2@h/d"))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "No such command 'postgres://u:p@ss/@h/db' (see --help)",
            "No such command 'postgres://u:***@h/db' (see --help)",
        ),
        ("there is no task 'redis://:pw@h/0'", "there is no task 'redis://:***@h/0'"),
        ("extra x://h/d?sslmode=off&ssl_password=pw&a=b", "extra x://h/d?sslmode=off&ssl_password=***&a=b"),
        ("postgres://u:***@h:5432/db is failing", "postgres://u:***@h:5432/db is failing"),
        ("nothing listens at https://h:80/path, a@b", "nothing listens at https://h:80/path, a@b"),
    ],
)
def test_a_url_that_a_sentence_quotes_as_it_was_typed(said: str, shown: str) -> None:
    assert without_secrets(said) == shown
