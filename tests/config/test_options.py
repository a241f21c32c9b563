"""Options as they are declared: what a URL and a table may say of them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from hive_state_core.errors import ConfigError
from hive_state_core.options import Option, Type, rooted, seconds, settled, suggest, text_of, values_of
from hive_state_core.url import parse_url

from .conftest import SECRET, TOY

NAMED = {option.name: option for option in TOY}


def test_values_and_defaults() -> None:
    values = values_of(parse_url("toy://u:p@h:9/f?size=6&wait=2m&quick=YES&mode=WRITE"), TOY)
    assert values == {
        "host": "h",
        "port": 9,
        "username": "u",
        "password": "p",
        "path": "f",
        "size": 6,
        "wait": 120.0,
        "quick": True,
        "mode": "Write",
        "key_file": None,
        "credential": None,
    }
    assert values_of(parse_url("toy://"), TOY) == {option.name: option.default for option in TOY}


def test_what_has_a_place_in_the_url_may_be_said_by_name() -> None:
    url = settled(parse_url("toy://?host=h&port=9&username=u&password=p&path=a/b"), TOY)
    assert (url.host, url.port, url.username, url.password, url.path) == ("h", 9, "u", "p", "/a/b")
    assert url.options == {}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sizes=6", "toy:// has no option 'sizes'; did you mean size?"),
        ("xyz=6", "toy:// has no option 'xyz'; there are credential, host,"),
        ("size=0", "option size of toy:// is a whole number, 1 or more, not '0'"),
        ("size=1.5", "option size of toy:// is a whole number, 1 or more, not '1.5'"),
        ("size=٣", "option size of toy:// is a whole number"),
        ("port=65536", "option port of toy:// is a whole number from 1 to 65535, not '65536'"),
        ("wait=soon", "option wait of toy:// is a number of seconds, not 'soon'"),
        ("wait=0", "option wait of toy://"),
        ("wait=-1", "option wait of toy://"),
        ("wait=nan", "option wait of toy://"),
        ("quick=perhaps", "option quick of toy:// is true or false, not 'perhaps'"),
        ("mode=x", "option mode of toy:// is one of Read, Write, not 'x'"),
    ],
)
def test_what_does_not_fit_is_refused(query: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        values_of(parse_url(f"toy://?{query}"), TOY)
    assert str(caught.value).startswith(said)


def test_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="given host twice"):
        settled(parse_url("toy://h?host=i"), TOY)


def test_a_wrong_secret_is_not_quoted() -> None:
    pin = Option(name="pin", type=Type.WHOLE, secret=True, doc="a number")
    with pytest.raises(ConfigError) as caught:
        values_of(parse_url(f"toy://?pin={SECRET}"), [pin])
    assert SECRET not in str(caught.value)


def test_declared_secrets_are_redacted_whatever_their_name() -> None:
    url = settled(parse_url(f"toy://u:{SECRET}@h/?credential={SECRET}"), TOY)
    shown = f"{url} {url!r}"
    assert SECRET not in shown
    assert "credential=***" in shown
    for encode in (msgspec.json.encode, msgspec.to_builtins, json.dumps):
        with pytest.raises(TypeError):
            encode(url)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("500ms", 0.5),
        ("30 s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("7d", 604800),
        ("1w", 604800),
    ],
)
def test_durations(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "s", "0", "-1", "1y", "1e3", "inf", "99999999w", "1d 2h", "٣s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)


def test_paths_start_at_a_folder() -> None:
    url = settled(parse_url("toy:///a/b.db?key_file=../k"), TOY)
    there = rooted(url, TOY, Path("/etc/hive"))
    assert (there.path, there.options) == ("//etc/hive/a/b.db", {"key_file": "/etc/k"})
    absolute = rooted(settled(parse_url("toy:////a.db"), TOY), TOY, Path("/etc"))
    assert (absolute.path, rooted(parse_url("toy://"), TOY, Path("/etc")).path) == ("//a.db", "")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("size", 6, "6"), ("wait", 1.5, "1.5"), ("wait", 2, "2"), ("wait", "5m", "5m"), ("quick", True, "true")],
)
def test_values_of_toml(name: str, value: object, text: str) -> None:
    assert text_of(value, NAMED[name], "x") == text


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", True), ("size", 1.5), ("wait", True), ("quick", 1), ("host", 5), ("host", {}), ("host", ["a"])],
)
def test_wrong_types_of_toml(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=r"^x is "):
        text_of(value, NAMED[name], "x")


def test_suggestions() -> None:
    assert suggest("prd", ["prod", "local"]) == "; did you mean prod?"
    assert suggest("zzz", ["prod", "local"]) == "; there are local, prod"
    assert suggest("zzz", []) == "; there are none"


NAMES = Option(name="names", type=Type.NAMES, default="", doc="")
SHARE = Option(name="share", type=Type.NUMBER, least=0, most=1, doc="")


def test_names_are_a_list_or_have_commas() -> None:
    assert text_of(["a", "b"], NAMES, "it") == text_of("a,b", NAMES, "it") == "a,b"
    assert NAMES.parse("a,b", "it") == "a,b"
    assert NAMES.parse(text_of([], NAMES, "it"), "it") == ""
    for wrong in (["a,b"], ["a", 5]):
        with pytest.raises(ConfigError, match="it: a name is a text without a comma"):
            text_of(wrong, NAMES, "it")
    for text in ("a,,b", ",", "a,a"):
        with pytest.raises(ConfigError, match="names, as a list"):
            NAMES.parse(text, "it")


def test_numbers() -> None:
    assert SHARE.parse(text_of(0.5, SHARE, "it"), "it") == 0.5
    for text in ("1.1", "-0.1", "nan", "inf", "much", ""):
        with pytest.raises(ConfigError, match="it is a number from 0 to 1"):
            SHARE.parse(text, "it")
