"""TLS with certificate files: a real handshake, real endings, and files that are none."""

from __future__ import annotations

import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_place import rest, serving, until

from realtime.config import ServerConfig, Settings
from realtime.errors import ConfigError
from realtime.gateway.server import tls_context

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Make a certificate for 127.0.0.1, its key, and the key with a password."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "realtime")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, plain))
    locked = serialization.BestAvailableEncryption(b"password")
    (folder / "locked.pem").write_bytes(key.private_bytes(PEM, PKCS8, locked))
    other = ec.generate_private_key(ec.SECP256R1())
    (folder / "other.pem").write_bytes(other.private_bytes(PEM, PKCS8, plain))
    (folder / "nonsense.pem").write_text("nonsense")
    return folder


def config(folder, certificate: str = "cert.pem", key: str = "key.pem") -> ServerConfig:
    return ServerConfig(tls_certificate=str(folder / certificate), tls_key=str(folder / key))


async def test_a_conversation_over_tls_and_its_endings(files):
    server = config(files)
    tls_context(server)
    trust = ssl.create_default_context(cafile=server.tls_certificate)
    async with serving(Settings(server=server), trust=trust) as place:
        async with place.connect() as socket:
            assert (await until(socket, "session.created"))["session"]["model"] == "fake"
        async with place.connect("/v1/pcm") as socket:
            await socket.send("x" * ((1 << 20) + 1))
            await rest(socket)
            assert socket.close_code == 1009
        assert (await place.ask("GET", "/healthz")).json() == {"status": "alive"}
        answer = await place.ask("POST", "/v1/realtime/client_secrets")
        assert answer.json()["value"].startswith("ek_")


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("none.pem", "key.pem", "cannot read.*No such file"),
        ("cert.pem", "none.pem", "cannot read.*No such file"),
        ("nonsense.pem", "key.pem", "cannot use"),
        ("cert.pem", "nonsense.pem", "cannot use"),
        ("cert.pem", "other.pem", "cannot use.*mismatch"),
        ("cert.pem", "locked.pem", "has a password"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_is_loaded(
    files, certificate, key, words
):
    with pytest.raises(ConfigError, match=words):
        tls_context(config(files, certificate, key))


def test_without_a_certificate_there_is_nothing_to_check():
    assert tls_context(ServerConfig()) is None


def test_one_file_without_the_other():
    with pytest.raises(ValueError, match="belong together"):
        ServerConfig(tls_certificate="cert.pem")
