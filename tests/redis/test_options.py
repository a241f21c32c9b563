"""What a URL of Redis may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hive_state_core.errors import ConfigError
from hive_state_core.url import parse_url
from hive_state_redis.options import SCHEMES, RedisOptions, parse_options


def parsed(url: str) -> RedisOptions:
    return parse_options(parse_url(url))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://", {"layout": "server", "hosts": (("localhost", 6379),), "db": 0, "tls": False}),
        ("redis://me:pass@db.example:7000/3", {"hosts": (("db.example", 7000),), "db": 3, "username": "me"}),
        ("redis://[::1]/", {"hosts": (("::1", 6379),), "place": "::1:6379"}),
        ("redis://h?db=4", {"db": 4}),
        ("redis://h/4?db=4", {"db": 4}),
        ("rediss://h", {"tls": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        ("redis+unix:///run/v.sock?db=2", {"layout": "unix", "hosts": (), "socket": "/run/v.sock", "db": 2}),
        ("redis+unix://:pass@/run/v.sock", {"password": "pass", "place": "/run/v.sock"}),
        (
            "redis+sentinel://a,b:7/main",
            {"layout": "sentinel", "hosts": (("a", 26379), ("b", 7)), "master": "main", "db": 0},
        ),
        ("rediss+sentinel://a/main/2", {"master": "main", "db": 2, "tls": True, "place": "main of a:26379"}),
        ("redis+cluster://a,b:7", {"layout": "cluster", "hosts": (("a", 6379), ("b", 7))}),
        ("redis://h?max_connections=3&command_timeout=500ms", {"max_connections": 3, "command_timeout": 0.5}),
    ],
)
def test_what_is_taken(url: str, found: dict[str, Any]) -> None:
    options = parsed(url)
    assert {name: getattr(options, name) for name in found} == found


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://h?max_conections=3", "has no option 'max_conections'; did you mean max_connections"),
        ("redis://a,b", "names 2 hosts; it is one, or redis.sentinel"),
        ("redis://h/zero", "the path of redis:// is the number of a database, not 'zero'"),
        ("redis://h/1?db=2", "names database 1 in its path, and 2 as option db"),
        ("redis://h?command_timeout=soon", "option command_timeout of redis:// is a number of seconds"),
        ("redis://h?prefix={x}", "option prefix of redis:// is up to 32"),
        ("redis://h?client_name=a%20b", "client_name .* without a space"),
        ("redis://h?ssl_ca_certs=x.pem", "option ssl_ca_certs needs TLS: write rediss://"),
        ("redis://me@h", "names a user, and no password"),
        ("redis://h?sentinel_username=x", "options of sentinels are for redis.sentinel://"),
        ("redis+unix://", "followed by the path of a socket"),
        ("redis+unix://host/run/x", "followed by the path of a socket"),
        ("redis+sentinel://a,b", "names no master; write redis.sentinel://host1,host2/master"),
        ("redis+cluster://a/1", "names database 1; a cluster has only 0"),
    ],
)
def test_what_is_refused_and_why(url: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parsed(url)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_secret_shows(scheme: str) -> None:
    path = "/run/x" if scheme == "redis+unix" else "/m" if "sentinel" in scheme else ""
    host = "" if scheme == "redis+unix" else "h"
    url = parse_url(f"{scheme}://u:secret@{host}{path}?ssl_password=secret&sentinel_password=secret")
    assert "secret" not in str(url).replace("ssl_password", "")
    options = {"ssl_password": "secret"} if scheme.startswith("rediss") else {}
    assert "secret" not in repr(parse_options(url.replaced(options=options)))


def test_a_namespace_cannot_end_its_hash_tag_early() -> None:
    options = parsed("redis://")
    assert options.tag("default") == b"hive:default"
    tags = {options.tag(namespace) for namespace in ("{a}b", "a", "}", "{", "%7D", "%", "%25")}
    assert len(tags) == 7
    assert not any(brace in tag for tag in tags for brace in (b"{", b"}"))


def test_paths_of_files_are_kept_for_messages(tmp_path: Path) -> None:
    options = parsed(f"rediss://h?ssl_ca_certs={tmp_path}/a.pem&ssl_keyfile=b")
    assert options.files == (("ssl_ca_certs", f"{tmp_path}/a.pem"), ("ssl_keyfile", "b"))
