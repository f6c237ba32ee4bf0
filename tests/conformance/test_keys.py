"""A server with TLS, keys and limits, as the stock clients come to it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import ssl

import pytest
from conformance.peer import connected
from conformance.schema import NODE, NODE_MISSING, NODE_REASON
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from openai import AsyncOpenAI, AuthenticationError, DefaultAsyncHttpxClient
from serving import serving
from websockets.exceptions import InvalidStatus

KEY = "sk-conformance-0123456789abcdef"
CONFIG = f"""
[auth]
keys = ["{KEY}"]
[limits]
responses_per_minute = 1000
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a certificate for 127.0.0.1, beside its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "realtime")])
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    )
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def guarded(certificate, tmp_path_factory):
    """Host and port of a server that takes one key, over TLS."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "realtime.toml").write_text(CONFIG)
    tls = ("--tls-certificate", str(certificate), "--tls-key", str(certificate.parent / "key.pem"))
    options = ("--config", str(folder / "realtime.toml"), *tls)
    with serving(folder / "log", *options, scheme="https") as (_, address):
        yield address
    assert KEY not in (folder / "log").read_text()


@pytest.fixture
def come(guarded, certificate, zod):
    """Come in with a key."""
    trust = ssl.create_default_context(cafile=certificate)

    def come(key, **options):
        openai = AsyncOpenAI(
            api_key=key,
            base_url=f"https://{guarded}/v1",
            http_client=DefaultAsyncHttpxClient(verify=trust),
            max_retries=0,
        )
        options["websocket_connection_options"] = {"ssl": trust}
        return openai, connected(guarded, openai=openai, zod=zod, **options)

    return come


async def test_a_key_opens_the_door_and_limits_are_told(come):
    _, connecting = come(KEY)
    async with connecting as peer:
        assert await peer.ask("what is two plus three") == "Five."
        told = await peer.until("rate_limits.updated")
        (limit,) = [limit for limit in told.rate_limits if limit.name == "requests"]
        assert limit.limit == 1000
        assert 0 <= limit.remaining <= 1000
        assert limit.reset_seconds >= 0


async def test_another_key_does_not(come):
    _, connecting = come("sk-other")
    with pytest.raises(InvalidStatus) as refused:
        async with connecting:
            pass
    assert refused.value.response.status_code == 401
    openai, _ = come("sk-other")
    async with openai:
        with pytest.raises(AuthenticationError) as denied:
            await openai.realtime.client_secrets.create()
    assert denied.value.body["message"]


async def test_a_short_lived_key_brings_its_session(come):
    openai, _ = come(KEY)
    session = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    secret = await openai.realtime.client_secrets.create(
        session=session, expires_after={"anchor": "created_at", "seconds": 60}
    )
    await openai.close()
    assert secret.value.startswith("ek_")
    _, connecting = come(secret.value)
    async with connecting as peer:
        session = (await peer.until("session.created")).session
        assert session.audio.input.turn_detection is None
        assert await peer.ask("what is the capital of france") == "Paris."


async def asked(address, certificate, key):
    """Ask with the npm package; give what it prints, and how it ends."""
    url = f"https://{address}/v1"
    node = await asyncio.create_subprocess_exec(
        *("node", "openai.mjs", url, key, "what is two plus three"),
        cwd=NODE,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(certificate)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(node.communicate(), 60)
    return out.decode(), error.decode(), node.returncode


@pytest.mark.skipif(NODE_MISSING, reason=NODE_REASON)
async def test_the_npm_package_comes_in_over_tls(guarded, certificate):
    assert await asked(guarded, certificate, KEY) == ("Five.", "", 0)


@pytest.mark.skipif(NODE_MISSING, reason=NODE_REASON)
async def test_the_npm_package_is_told_that_its_key_is_wrong(guarded, certificate):
    out, error, code = await asked(guarded, certificate, "sk-other")
    assert (out, code) == ("", 1)
    assert "401" in error
