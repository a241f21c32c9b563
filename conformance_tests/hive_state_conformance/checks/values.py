"""Area C: what goes in comes out, equal in type and value, or is refused."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import Any

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env, raises
from hive_state_core.errors import CorruptData, InvalidArgument, LimitExceeded
from hive_state_core.limits import VALUE_BYTES, VALUE_DEPTH
from hive_state_core.model import RecordRef
from hive_state_core.spi import Batch, Put


async def round_trip(env: Env, value: Any) -> Any:
    """The value as it comes back."""
    await env.store.records.put("c", "k", value)
    record = await env.store.records.get("c", "k")
    assert record is not None
    return record.value


@check("values.any_text", area="C", number=24)
async def any_text(env: Env) -> None:
    """Contract: strings in values hold any Unicode, NUL too, and come back exactly."""
    texts = [
        "",
        "\0",
        "a\0b",
        "\\u0000",
        "\x1f\x7f\x80",
        "\u2028\u2029",
        "\ufeff",
        "\uffff",
        "🐝",
        "\U0010ffff",
        "e\u0301",
    ]
    value = {text: text for text in texts}
    assert await round_trip(env, value) == value
    await raises(InvalidArgument, env.store.records.put("c", "k", "lone \ud800"))


@check("values.exact_ints", area="C", number=25)
async def exact_ints(env: Env) -> None:
    """Contract: integers of up to 64 bits come back exactly, as integers; larger ones exactly or not at
    all.
    """
    ints = [0, -1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1]
    found = await round_trip(env, ints)
    assert found == ints
    assert {type(item) for item in found} == {int}
    for huge in (2**64, -(2**63) - 1, 10**30):
        try:
            found = await round_trip(env, huge)
        except InvalidArgument:
            continue
        assert (type(found), found) == (int, huge)


@check("values.exact_floats", area="C", number=26)
async def exact_floats(env: Env) -> None:
    """Contract: floats come back bit by bit, the sign of zero too, and stay floats."""
    floats = [0.1, 1.0, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 1e22, 1e23, 2.0**53, 1 / 3]
    found = await round_trip(env, [*floats, 1])
    assert [type(item) for item in found] == [float] * len(floats) + [int]
    assert [item.hex() for item in found[:-1]] == [item.hex() for item in floats]


@check("values.no_nan", area="C", number=27)
async def no_nan(env: Env) -> None:
    """Contract: NaN and the infinities are an InvalidArgument, however deep they sit."""
    for unfit in (math.nan, math.inf, -math.inf):
        await raises(InvalidArgument, env.store.records.put("c", "k", unfit))
        await raises(InvalidArgument, env.store.records.put("c", "k", {"a": [1, {"b": unfit}]}))
    assert await env.store.records.get("c", "k") is None


@check("values.empty_containers", area="C", number=28)
async def empty_containers(env: Env) -> None:
    """Contract: an empty list stays a list and an empty object an object, at any depth."""
    value: Any = {"list": [], "object": {}, "both": [[], {}, [[]], [{}], {"": []}]}
    assert await round_trip(env, value) == value


@check("values.deep", area="C", number=30)
async def deep(env: Env) -> None:
    """Contract: values nest up to the limit; deeper ones are refused, and never crash."""
    value: Any = 1
    for _ in range(VALUE_DEPTH):
        value = [value]
    assert await round_trip(env, value) == value
    await raises(InvalidArgument, env.store.records.put("c", "k", [value]))
    for _ in range(100_000):
        value = [value]
    await raises(InvalidArgument, env.store.records.put("c", "k", value))


@check("values.largest", area="C", number=31)
async def largest(env: Env) -> None:
    """Contract: a value of the greatest size comes back whole, one byte more is a LimitExceeded."""
    noise = random.Random(7).randbytes(1024 * 1024)
    assert await round_trip(env, noise) == noise
    full = noise * (VALUE_BYTES // len(noise))
    assert await round_trip(env, full) == full
    error = await raises(LimitExceeded, env.store.records.put("c", "k", full + b"x"))
    assert isinstance(error, LimitExceeded)
    assert (error.actual, error.allowed) == (VALUE_BYTES + 1, VALUE_BYTES)


@check("values.bytes_exact", area="C", number=32)
async def bytes_exact(env: Env) -> None:
    """Contract: bytes come back as the same bytes, and are never taken for text that looks alike."""
    every = bytes(range(256))
    for value in (every, every[::-1], b"\0", b'{"a": 1}', b"\xff\xfe", b"null"):
        assert await round_trip(env, value) == value
    for text in ('{"a": 1}', "null", "AAECAw=="):
        assert await round_trip(env, text) == text


@check("values.other_types_refused", area="C", number=33)
async def other_types_refused(env: Env) -> None:
    """Contract: what is no JSON is an InvalidArgument, never quietly turned into something else."""
    unfit: list[Any] = [
        {1},
        (1,),
        object(),
        datetime.now(UTC),
        {1: 2},
        {None: 1},
        1j,
        bytearray(b"x"),
        [b"x"],
        range(3),
    ]
    for value in unfit:
        await raises(InvalidArgument, env.store.records.put("c", "k", value))
        await raises(InvalidArgument, env.store.records.put("c", "k", {"deep": [value]}))
    assert await env.store.records.get("c", "k") is None


@check("values.key_order", area="C", number=29)
async def key_order(env: Env) -> None:
    """Contract: the keys of an object come back in the order of their UTF-8, however they were written: equal
    values are equal bytes.
    """
    names = ["b", "a", "é", "\N{GRINNING FACE}", "B", "10", "9", "\uffff", ""]
    for key, order in (("one", names), ("two", names[::-1])):
        await env.store.records.put("c", key, {name: {name: 1, "": 2} for name in order})
    one, two = await env.record("c", "one"), await env.record("c", "two")
    assert one is not None
    assert two is not None
    assert one.value == two.value
    record = await env.store.records.get("c", "two")
    assert record is not None
    assert list(record.value) == sorted(names, key=str.encode)


@check("values.corrupt_is_reported", area="C", number=35)
async def corrupt_is_reported(env: Env) -> None:
    """Contract: stored bytes that cannot be decoded raise CorruptData with the bytes, and harm no
    neighbour.
    """
    await env.commit(Batch((Put(RecordRef("c", "bad"), b"{not json"),)))
    await env.store.records.put("c", "good", 1)
    error = await raises(CorruptData, env.store.records.get("c", "bad"))
    assert isinstance(error, CorruptData)
    assert error.raw == b"{not json"
    assert "not json" not in str(error)
    bad, good = [record async for record in env.store.records.list("c")]
    assert (bad.key, good.value) == ("bad", 1)
