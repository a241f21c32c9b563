"""What cannot be opened says so in one sentence, and is not changed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import (
    AccessDenied,
    Closed,
    ConfigError,
    HiveStateError,
    SchemaMismatch,
    StoreFull,
    Unavailable,
)
from hive_state_sqlite.connection import SCHEMA_VERSION, native_errors


async def opening(url: str) -> HiveStateError:
    """The error that opening it raises."""
    with pytest.raises(HiveStateError) as caught:
        async with open_store(url):
            pass
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_directory(tmp_path: Path) -> None:
    error = await opening(f"sqlite:///{tmp_path}")
    assert isinstance(error, ConfigError)
    assert "directory" in str(error)
    with pytest.raises(ConfigError, match=r"cannot inspect .* directory"):
        await open_store(f"sqlite:///{tmp_path}").inspect_schema()


async def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    error = await opening(f"sqlite:///{tmp_path}/no/such/hive.db")
    assert isinstance(error, ConfigError)
    assert not (tmp_path / "no").exists()


async def test_not_a_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, and they are longer than a SQLite header of 100 bytes is. " * 3)
    before = path.read_bytes()
    error = await opening(f"sqlite:///{path}")
    assert isinstance(error, SchemaMismatch)
    assert "not a SQLite database" in str(error)
    assert path.read_bytes() == before


async def test_another_programs_database(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    error = await opening(f"sqlite:///{path}")
    assert isinstance(error, SchemaMismatch)
    assert "another program" in str(error)
    assert path.read_bytes() == before


async def test_a_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "hive.db"
    async with open_store(f"sqlite:///{path}"):
        pass
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    error = await opening(f"sqlite:///{path}")
    assert isinstance(error, SchemaMismatch)
    assert (error.found, error.expected) == (99, SCHEMA_VERSION)
    assert "upgrade hive-state" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://hive.db",
        "sqlite:///",
        "sqlite:///hive.db?synchronous=OFF",
        "sqlite:///hive.db?timeout=soon",
        "sqlite:///hive.db?timeout=nan",
        "sqlite:///hive.db?sinchronous=FULL",
    ],
)
def test_urls_that_cannot_be_meant(url: str) -> None:
    with pytest.raises(ConfigError):
        open_store(url)


async def test_a_disk_too_full_for_the_schema(tmp_path: Path) -> None:
    error = await opening(f"sqlite:///{tmp_path}/hive.db?max_page_count=10")
    assert isinstance(error, StoreFull)


async def test_a_store_too_full_to_be_dropped(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/hive.db?max_page_count=60") as hive:
        with pytest.raises(StoreFull):
            await fill(hive)
    async with open_store(f"sqlite:///{tmp_path}/hive.db") as hive:
        await hive.records.put("c", "k0", "there is room again")


async def fill(hive: Store) -> None:
    for number in range(500):
        await hive.records.put("c", f"k{number}", "x" * 4000)


async def test_a_full_disk_is_told_and_the_store_goes_on_reading(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/hive.db?max_page_count=60") as hive:
        await hive.records.put("c", "first", "here")
        with pytest.raises(StoreFull) as caught:
            await fill(hive)
        assert caught.value.applied == "no"
        record = await hive.records.get("c", "first")
        assert record is not None
        await hive.records.delete("c", "k0")
        await hive.records.put("c", "first", "again")


AS_NOBODY = """
import asyncio, os, sys, tempfile
from hive_state_core import open_store
async def use(url):
    async with open_store(url) as hive:
        await hive.records.put("c", "k", 1)
with tempfile.TemporaryDirectory() as folder:  # everything is imported before the rights are given up
    asyncio.run(use(f"sqlite:///{folder}/hive.db"))
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    asyncio.run(use(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error.applied, error)
"""


def as_nobody(url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, url], capture_output=True, text=True, timeout=30, check=False
    )
    assert "Traceback" not in done.stderr
    return done.stdout


def _readable_by_nobody(path: Path) -> bool:
    """Whether an unprivileged account could reach the file at all, given the folders above it."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


async def test_a_read_only_file_and_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("readonly")
    path = folder / "hive.db"
    async with open_store(f"sqlite:///{path}") as hive:
        await hive.records.put("c", "k", 1)
    for parent in (folder, folder.parent, folder.parent.parent):
        if parent.stat().st_uid == os.geteuid():
            parent.chmod(0o755)
    if not _readable_by_nobody(path):
        pytest.skip("the folder of temporary files cannot be reached by an unprivileged user")
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    try:
        said = as_nobody(f"sqlite:///{path}")
        assert said.startswith("AccessDenied no"), said
        said = as_nobody(f"sqlite:///{folder}/new.db")
        assert said.startswith("AccessDenied no"), said
    finally:
        folder.chmod(0o755)


async def test_a_foreign_lock_ends_in_unavailable_after_the_timeout(tmp_path: Path) -> None:
    path = tmp_path / "hive.db"
    async with open_store(f"sqlite:///{path}?timeout=0.2") as hive:
        await hive.records.put("c", "k", 1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            await hive.records.put("c", "k", 2)
        assert caught.value.retryable
        record = await hive.records.get("c", "k")
        assert record is not None
        assert record.value == 1
        other.execute("ROLLBACK")
        other.close()
        await hive.records.put("c", "k", 3)


async def test_eight_first_opens_at_once(tmp_path: Path) -> None:
    stores = [open_store(f"sqlite:///{tmp_path}/hive.db") for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.records.put("c", str(n), n) for n, store in enumerate(stores)))
    assert await stores[0].records.count("c") == 8
    await asyncio.gather(*(store.close() for store in stores))


async def test_use_before_open_and_after_close(tmp_path: Path) -> None:
    hive = open_store(f"sqlite:///{tmp_path}/hive.db")
    with pytest.raises(Closed, match="not open yet"):
        await hive.records.get("c", "k")
    async with hive:
        pass
    with pytest.raises(Closed, match="is closed"):
        await hive.records.get("c", "k")
    await hive.close()


async def test_two_stores_of_a_process_and_a_guest(tmp_path: Path) -> None:
    """One opens and closes a file that the other has open. Another process that comes and goes afterwards
    does not take itself for the last one: it would remove the log that is written to."""
    url = f"sqlite:///{tmp_path}/hive.db"
    guest = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version').connection.close()"
    )
    async with open_store(url, janitor=False) as one:
        await one.records.put("c", "k", 1)
        async with open_store(url, janitor=False) as other:
            await other.records.put("c", "k", 2)
        log = (tmp_path / "hive.db-wal").stat().st_ino
        await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", guest, f"{tmp_path}/hive.db"], check=True
        )
        assert (tmp_path / "hive.db-wal").stat().st_ino == log
        await one.records.put("c", "k", 3)
        async with open_store(url, janitor=False) as other:
            record = await other.records.get("c", "k")
    assert record is not None
    assert record.value == 3


@pytest.mark.parametrize(("name", "told"), [("h.db-wal", " (h.db-wal)"), ("h.db", "")])
def test_a_file_beside_it_that_is_another_users_is_named(name: str, told: str) -> None:
    """Or whoever looks at the rights of the store finds nothing wrong."""
    with pytest.raises(AccessDenied) as caught, native_errors("h.db", "open"):
        raise PermissionError(13, "Permission denied", name)
    assert str(caught.value) == f"cannot open h.db: Permission denied{told}"
