"""Servers that speak TLS."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hive_state_core.embedded import Certificate, Server, valkey_server
from hive_state_core.embedded.valkey import SOCKET
from hive_state_core.errors import ConfigError, HiveStateError, Unavailable
from hive_state_core.url import StoreURL, parse_url
from hive_state_redis.connecting import connect
from hive_state_redis.options import parse_options


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Of localhost, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("not run: there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "server.crt", folder / "server.key", folder / "server.crt")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-out", str(made.certificate), "-keyout", str(made.key)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return made


@pytest.fixture(params=["server", "relay"])
async def encrypted(
    request: pytest.FixtureRequest, certificate: Certificate, shared_server: Server
) -> AsyncIterator[StoreURL]:
    """Of a server that speaks TLS itself, and of a relay in front of one, as some were built without it."""
    if request.param == "relay":
        async with _relay(shared_server, certificate) as port:
            yield parse_url(shared_server.url).replaced(scheme="rediss", port=port)
        return
    try:
        async with valkey_server(certificate=certificate) as server:
            yield parse_url(server.url)
    except ConfigError as error:
        if "tls" not in str(error):
            raise
        pytest.skip("not run: this server was built without TLS")


@asynccontextmanager
async def _relay(server: Server, certificate: Certificate) -> AsyncIterator[int]:
    """The port of a relay."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    assert server.socket_directory
    path = server.socket_directory / SOCKET

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(_pour(reader, behind_writer), _pour(behind_reader, writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as listener:
        yield listener.sockets[0].getsockname()[1]


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def to(url: StoreURL, host: str = "localhost", **options: object) -> StoreURL:
    return url.replaced(host=host, options={name: str(value) for name, value in options.items()})


async def refused(url: StoreURL) -> HiveStateError:
    with pytest.raises(HiveStateError) as caught:
        await connect(parse_options(url), b"x")
    return caught.value


async def test_what_is_trusted(encrypted: StoreURL, certificate: Certificate) -> None:
    for url in (
        to(encrypted, ssl_ca_certs=certificate.authority),
        to(encrypted, "127.0.0.1", ssl_ca_certs=certificate.authority, ssl_check_hostname="false"),
        to(encrypted, "127.0.0.1", ssl_cert_reqs="none"),
        to(
            encrypted,
            ssl_ca_certs=certificate.authority,
            ssl_certfile=certificate.certificate,
            ssl_keyfile=certificate.key,
        ),
    ):
        link = await connect(parse_options(url), b"x")
        assert await link.call("ECHO", b"x" * 1_000_000) == b"x" * 1_000_000
        await link.close()


async def test_what_is_not(encrypted: StoreURL, certificate: Certificate) -> None:
    unknown = await refused(to(encrypted))
    assert isinstance(unknown, Unavailable)
    assert "its certificate is not trusted (self-signed certificate); see ssl_ca_certs" in str(unknown)
    other_host = await refused(to(encrypted, "127.0.0.1", ssl_ca_certs=certificate.authority))
    assert "its certificate is not trusted (IP address mismatch" in str(other_host)


async def test_files_that_cannot_be_used(
    encrypted: StoreURL, certificate: Certificate, tmp_path: Path
) -> None:
    missing = await refused(to(encrypted, ssl_ca_certs=tmp_path / "none.pem"))
    assert isinstance(missing, ConfigError)
    assert str(missing).endswith(f"names a file that cannot be read: {tmp_path}/none.pem")
    (tmp_path / "empty.pem").write_text("")
    for options in (
        {"ssl_ca_certs": tmp_path / "empty.pem"},
        {"ssl_certfile": certificate.key},
        {"ssl_certfile": certificate.certificate, "ssl_keyfile": tmp_path / "empty.pem"},
    ):
        assert "is no certificate, or no key that fits" in str(await refused(to(encrypted, **options)))


async def test_a_server_of_the_other_sort(encrypted: StoreURL, shared_server: Server) -> None:
    plain = await refused(encrypted.replaced(scheme="redis", options={}))
    assert "does it want TLS" in str(plain)
    silent = await refused(
        parse_url(shared_server.url).replaced(scheme="rediss", options={"connect_timeout": "300ms"})
    )
    assert "no answer in time" in str(silent)
