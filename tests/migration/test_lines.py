"""A store as JSON Lines, there and back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hive_state_core import open_store
from hive_state_core.choosing import Choice
from hive_state_core.errors import Conflict, InvalidArgument
from hive_state_core.migration.importing import import_lines
from hive_state_core.migration.lines import line_of, read_lines
from hive_state_core.model import RecordImage, RecordRef

from .conftest import populate
from .test_move import exported

VALUES = [
    None,
    b"null",
    b"1.0",
    b"1e+22",
    b'{"a":[1,{"b":null}],"c":"\\u0000\xc3\xa9"}',
    b'{ "not": "canonical" }',
    b"line\nbreak",
    b"\xff\x00 no json",
    b"123456789012345678901234567890",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("raw", [False, True])
def test_every_value_comes_back(value: bytes | None, raw: bool) -> None:
    image = RecordImage(
        ref=RecordRef("c\u2028", "k\"\n'"),
        version=2**53 - 1,
        created_version=1,
        value=value,
        raw=raw and value is not None,
        index=(("f", 1), ("f", 1.0), ("f", "1"), ("f", True), ("f", None)),
        created_at=-1,
        updated_at=5,
        expires_at=None,
    )
    line = line_of(image)
    assert line.count(b"\n") == 1
    assert isinstance(json.loads(line), dict)
    head = b'{"kind":"hive-state","format":1}\n'
    (back,) = read_lines([head, line, b'{"kind":"end","counts":{"record":1}}\n'])
    assert back == image
    assert [type(entry) for _, entry in back.index] == [int, float, str, bool, type(None)]  # type: ignore[union-attr]


async def into(choice: Choice, data: bytes) -> int:
    async with open_store(choice, janitor=False) as hive:
        lines = data.splitlines(keepends=True)
        return await import_lines(hive.replication(), lines, "it", 7, lambda _: None)


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
async def test_a_store_comes_back(new_store: Callable[[str], Choice], backend: str) -> None:
    source, target = new_store("memory"), new_store(backend)
    await populate(source)
    data = await exported(source)
    assert await into(target, data) == data.count(b"\n") - 2
    assert await exported(target) == data
    await populate(target, 1)
    with pytest.raises(Conflict, match="holds data"):
        await into(target, data)


async def test_what_was_cut_off_is_read_again(new_store: Callable[[str], Choice]) -> None:
    source, target = new_store("memory"), new_store("sqlite")
    await populate(source)
    data = await exported(source)
    with pytest.raises(InvalidArgument, match="cut off"):
        await into(target, data[: data.index(b"\n", len(data) // 2) + 1])
    lost = data.replace(data.splitlines(keepends=True)[5], b"")
    with pytest.raises(InvalidArgument, match="lines are missing"):
        await into(target, lost)
    await into(target, data)
    assert await exported(target) == data


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "line 2"),
        (b'{"kind":"agent"}', "agent"),
        (b'{"kind":"record","collection":"c"}', "line 2"),
        (b'{"kind":"event","stream":1}', "line 2"),
        (b"[]", "line 2"),
    ],
)
def test_what_is_no_export_is_named(line: bytes, words: str) -> None:
    head = b'{"kind":"hive-state","format":1}\n'
    with pytest.raises(InvalidArgument, match=words):
        list(read_lines([head, line]))
    with pytest.raises(InvalidArgument, match="line 1"):
        list(read_lines([line]))
