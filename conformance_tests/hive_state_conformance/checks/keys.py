"""Area B: a key is its bytes, nothing more and nothing less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env, raises
from hive_state_core.errors import InvalidArgument, LimitExceeded
from hive_state_core.limits import KEY_BYTES, NAME_BYTES


async def all_distinct(env: Env, keys: Sequence[str]) -> None:
    """Each key names a record of its own, in get, list, prefix scan and delete."""
    records = env.store.records
    for key in keys:
        await records.put("c", key, key)
    for key in keys:
        record = await records.get("c", key)
        assert record is not None, f"{key!r} is absent"
        assert (record.key, record.value) == (key, key)
    in_order = sorted(keys, key=str.encode)
    assert [record.key async for record in records.list("c")] == in_order
    for key in keys:
        begun = [record.key async for record in records.list("c", prefix=key)]
        assert begun == [other for other in in_order if other.startswith(key)], f"prefix {key!r}"
    for place, key in enumerate(keys):
        assert await records.delete("c", key) is True, f"{key!r} was gone already"
        assert await records.count("c") == len(keys) - place - 1


@check("keys.unicode_exact", area="B", number=15)
async def unicode_exact(env: Env) -> None:
    """Contract: keys of any script come back as they are, up to the last code point."""
    await all_distinct(
        env, ["蜂巢", "🐝", "👩‍👩‍👧", "שלום", "e\u0301", "\u200b", "\ufeffx", "\uffff", "\U0010ffff"]
    )


@check("keys.not_normalised", area="B", number=16)
async def not_normalised(env: Env) -> None:
    """Contract: keys that differ only in Unicode normal form are different keys."""
    await all_distinct(env, ["caf\u00e9", "cafe\u0301", "\u212b", "\u00c5", "A\u030a", "\ufb01", "fi"])


@check("keys.case_sensitive", area="B", number=17)
async def case_sensitive(env: Env) -> None:
    """Contract: keys that differ in case are different keys, for get and for prefixes."""
    await all_distinct(env, ["key", "Key", "KEY", "straße", "STRASSE", "ı", "i", "I", "İ"])


@check("keys.unfit_refused", area="B", number=18)
async def unfit_refused(env: Env) -> None:
    """Contract: NUL, lone surrogates and things that are no strings are an InvalidArgument as key or name."""
    records = env.store.records
    for unfit in ("a\0b", "\0", "\ud800", "x\udfff", cast(str, 7), cast(str, b"k"), cast(str, None)):
        await raises(InvalidArgument, records.put("c", unfit, 1))
        await raises(InvalidArgument, records.get("c", unfit))
        await raises(InvalidArgument, records.delete("c", unfit))
    for unfit in ("a\0b", "\ud800", ""):
        await raises(InvalidArgument, records.put(unfit, "k", 1))
    assert await records.count("c") == 0


@check("keys.special_characters_literal", area="B", number=19)
async def special_characters_literal(env: Env) -> None:
    """Contract: spaces, quotes, wildcards, separators and control characters in keys mean themselves."""
    plain = [
        " ",
        " a",
        "a ",
        "a b",
        "\t",
        "\n",
        "a\r\n",
        "\x01",
        "\x7f",
        "a",
        "a.b",
        "a/b",
        "../a",
        "a:b",
        "{a}",
    ]
    signs = [
        "%",
        "a%",
        "_",
        "a_",
        "*",
        "a*",
        "?",
        "[a]",
        "[",
        "\\",
        "a\\",
        "'",
        '"',
        ";",
        "--",
        "$1",
        "#",
        "&",
        "|",
    ]
    await all_distinct(env, plain + signs)


@check("keys.empty_refused", area="B", number=20)
async def empty_refused(env: Env) -> None:
    """Contract: an empty key is an InvalidArgument."""
    await raises(InvalidArgument, env.store.records.put("c", "", 1))
    await raises(InvalidArgument, env.store.records.get("c", ""))


@check("keys.longest", area="B", number=21)
async def longest(env: Env) -> None:
    """Contract: keys and names of the greatest length in bytes are taken, one more is a LimitExceeded
    with numbers.
    """
    records = env.store.records
    name = "n" * NAME_BYTES
    for key in ("k" * KEY_BYTES, "é" * (KEY_BYTES // 2), "🐝" * (KEY_BYTES // 4)):
        await records.put(name, key, 1, index={name: "v"})
        record = await records.get(name, key)
        assert record is not None
        assert record.key == key
        error = await raises(LimitExceeded, records.put(name, key + "x", 1))
        assert isinstance(error, LimitExceeded)
        assert (error.actual, error.allowed) == (KEY_BYTES + 1, KEY_BYTES)
    assert await records.count(name, where={name: "v"}) == 3
    await raises(LimitExceeded, records.put(name + "x", "k", 1))


@check("keys.numbers_are_text", area="B", number=22)
async def numbers_are_text(env: Env) -> None:
    """Contract: keys that look like numbers are distinct and ordered as text."""
    await all_distinct(
        env, ["1", "01", "1.0", "1e0", "+1", "-1", "10", "2", "0x1", "١", "true", "null", "NaN"]
    )


@check("keys.reserved_collections", area="B", number=23)
async def reserved_collections(env: Env) -> None:
    """Contract: the collections of other facets cannot be reached as records, and user data never touch
    them.
    """
    records = env.store.records
    await raises(InvalidArgument, records.put("hive:agents", "k", 1))
    await raises(InvalidArgument, records.get("hive:anything", "k"))
    await all_distinct(env, ["hive:agents", "hive:", "__version__", "meta", "control", "version", "index"])
