"""What is told of a server by its own settings."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import pytest

from hive_state_core.embedded import Server
from hive_state_core.errors import ConfigError
from hive_state_core.features import Durability
from hive_state_core.url import parse_url
from hive_state_redis.connecting import Link, connect
from hive_state_redis.durability import check, judged, warn
from hive_state_redis.examining import examine
from hive_state_redis.facts import Facts, facts_of
from hive_state_redis.options import RedisOptions, parse_options

OptionsOf: TypeAlias = Callable[..., RedisOptions]


@pytest.fixture
async def own(server: Server, options_of: OptionsOf) -> AsyncIterator[Link]:
    """To a server whose settings may be changed."""
    link = await connect(options_of(server), b"x")
    yield link
    await link.close()


async def set_all(link: Link, **settings: str | int) -> Facts:
    for name, value in settings.items():
        await link.call("CONFIG", "SET", name.replace("_", "-"), value)
    return await facts_of(link)


async def test_the_level_follows_the_settings(own: Link, server: Server, options_of: OptionsOf) -> None:
    options = options_of(server)

    async def level(**settings: str | int) -> tuple[Durability, str]:
        return judged(await set_all(own, **settings), options)[:2]

    assert (await level())[0] is Durability.FSYNC
    found, why = await level(appendfsync="everysec")
    assert (found, "about a second" in why) == (Durability.PROCESS, True)
    assert (await level(appendfsync="no"))[0] is Durability.PROCESS
    found, why = await level(appendonly="no", save="60 1")
    assert (found, "a snapshot loses" in why) == (Durability.VOLATILE, True)
    found, why = await level(save="")
    assert (found, "snapshot" in why) == (Durability.VOLATILE, False)


@pytest.mark.parametrize("scheme", ["redis+cluster", "redis+sentinel"])
async def test_a_fail_over_loses_what_a_sync_has_saved(link: Link, scheme: str) -> None:
    options = parse_options(parse_url(f"{scheme}://h" + ("/main" if "sentinel" in scheme else "")))
    level, why, mend = judged(await facts_of(link), options)
    assert level is Durability.PROCESS
    assert "a fail-over" in why
    assert mend
    assert "min-replicas-max-lag" in mend


async def test_a_user_who_may_not_ask(own: Link, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    await own.many(
        [
            ("ACL", "SETUSER", "half", "on", ">pass", "~*", "+@all", "-config"),
            ("ACL", "SETUSER", "none", "on", ">pass", "~*", "+@all", "-config", "-info"),
        ]
    )
    url = parse_url(server.url)
    said = {}
    for name in ("half", "none"):
        options = parse_options(url.replaced(username=name, password="pass"))
        link = await connect(options, b"x")
        facts = await facts_of(link)
        check(facts, options)
        with caplog.at_level(logging.WARNING):
            warn(facts, options)
        said[name] = judged(facts, options)
        assert {finding.status for finding in examine(facts, options)} <= {"ok", "warn"}
        await link.close()
    assert said["half"].level is Durability.PROCESS
    assert "is not known" in said["half"].why
    assert said["none"].level is Durability.VOLATILE
    assert "does not say" in said["none"].why
    assert "keeps writes process" in caplog.messages[0]
    assert caplog.messages[-1].endswith("does not say whether it evicts keys")
    assert "pass" not in " ".join(caplog.messages).replace("keeps writes", "").split()


async def test_a_server_that_evicts_is_refused_unless_that_is_accepted(
    own: Link, server: Server, options_of: OptionsOf
) -> None:
    facts = await set_all(own, maxmemory_policy="allkeys-lru")
    check(facts, options_of(server))  # it has no bound to keep
    facts = await set_all(own, maxmemory="50mb")
    with pytest.raises(
        ConfigError, match=r"evicts keys .* is allkeys-lru.* noeviction, or add \?allow_eviction"
    ):
        check(facts, options_of(server))
    check(facts, options_of(server, allow_eviction="true"))
    check(await set_all(own, maxmemory_policy="noeviction"), options_of(server))


async def test_a_server_that_is_too_old_is_refused(
    link: Link, shared_server: Server, options_of: OptionsOf
) -> None:
    from msgspec.structs import replace

    facts = replace(await facts_of(link), version=(6, 2, 5), product="Redis 6.2.5")
    with pytest.raises(ConfigError, match=r"is Redis 6\.2\.5; Redis 7 or Valkey is needed"):
        check(facts, options_of(shared_server))


async def test_what_doctor_finds(own: Link, server: Server, options_of: OptionsOf) -> None:
    options = options_of(server)

    async def found(**settings: str | int) -> dict[str, tuple[str, str, str | None]]:
        facts = await set_all(own, **settings)
        return {one.name: (one.status, one.sentence, one.mend) for one in examine(facts, options)}

    well = await found(maxmemory="100mb")
    assert {name: status for name, (status, _, _) in well.items()} == dict.fromkeys(
        ("server", "durability", "memory", "connections"), "ok"
    )
    assert server.version is not None
    assert server.version in well["server"][1]
    assert well["memory"][1].endswith("of 105 MB are used")
    ill = await found(maxmemory_policy="volatile-ttl", appendfsync="no", maxmemory="1mb", maxclients=5)
    assert {name: status for name, (status, _, _) in ill.items()} == {
        "server": "ok",
        "durability": "warn",
        "eviction": "fail",
        "memory": "warn",
        "connections": "warn",
    }
    assert all(mend for status, _, mend in ill.values() if status != "ok")
    accepted = examine(await facts_of(own), options_of(server, allow_eviction="true"))
    assert {one.name: one.status for one in accepted}["eviction"] == "warn"


def test_what_doctor_says_of_a_connection(options_of: OptionsOf) -> None:
    unknown = Facts(**dict.fromkeys(Facts.__struct_fields__))

    def tls(url: str) -> list[str | None]:
        return [one.mend for one in examine(unknown, parse_options(parse_url(url))) if one.name == "tls"]

    assert tls("redis://far.example") == ["write rediss:// for redis://"]
    assert tls("rediss://far.example?ssl_cert_reqs=none") == ["give ssl_ca_certs, not ssl_cert_reqs=none"]
    assert tls("rediss://far.example") == tls("redis://localhost") == tls("redis+unix:///run/x") == []
