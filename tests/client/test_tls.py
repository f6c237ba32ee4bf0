"""TLS from the client's side: whom it trusts, and a sentence for each handshake that fails."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from certificates import self_signed
from fake_pcm_server import FakePcmServer, serving

from client import ServerUnreachable, Untrusted, connect
from client.tls import failure, trust


async def test_a_certificate_of_ones_own_is_trusted_when_it_is_given(tmp_path):
    file, tls = self_signed(tmp_path)
    async with serving(FakePcmServer(), tls) as fake, connect(fake.url, ca=file) as voice:
        assert voice.ready.model == "fake"


async def test_a_certificate_of_nobody_known_is_told_from_a_wrong_one(tmp_path):
    async with serving(FakePcmServer(), self_signed(tmp_path)[1]) as fake:
        with pytest.raises(Untrusted, match=r"not trusted here: self.signed certificate$"):
            async with connect(fake.url):
                pass


async def test_a_certificate_for_another_host_is_wrong_whoever_signed_it(tmp_path):
    file, tls = self_signed(tmp_path, "192.0.2.7")
    async with serving(FakePcmServer(), tls) as fake:
        with pytest.raises(ServerUnreachable, match="wrong certificate: IP address mis") as caught:
            async with connect(fake.url, ca=file):
                pass
    assert not isinstance(caught.value, Untrusted)


async def test_a_server_with_tls_asked_without_it_suggests_wss(tmp_path):
    async with serving(FakePcmServer(), self_signed(tmp_path)[1]) as fake:
        with pytest.raises(ServerUnreachable, match=rf"if it has TLS, its address is {fake.url}$"):
            async with connect(fake.url.replace("wss:", "ws:")):
                pass


async def test_a_server_without_tls_asked_with_it_suggests_ws():
    async with serving(FakePcmServer()) as fake:
        with pytest.raises(ServerUnreachable, match=rf"if it has none, its address is {fake.url}$"):
            async with connect(fake.url.replace("ws:", "wss:")):
                pass


async def test_whoever_closes_at_the_handshake_has_perhaps_no_tls():
    async def leave(_, writer):
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(leave, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ServerUnreachable, match=rf"its address is ws://127\.0\.0\.1:{port}$"):
            async with connect(f"wss://127.0.0.1:{port}"):
                pass


def test_a_reset_at_the_handshake_is_told_as_it_is():
    text = str(failure("wss://h", ConnectionResetError(104, "Connection reset by peer")))
    assert text == (
        "wss://h gave no TLS (Connection reset by peer); if it has none, its address is ws://h"
    )


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read: No such file"), ("x", "holds no certificate")]
)
def test_a_file_of_certificates_that_is_none(tmp_path, content, words):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=words):
        trust(str(file))


def test_whom_the_system_trusts_stays_trusted(tmp_path):
    file, _ = self_signed(tmp_path)
    ours, systems = trust(file), ssl.create_default_context()
    assert ours.cert_store_stats()["x509"] == systems.cert_store_stats()["x509"] + 1
    assert ours.check_hostname
    assert ours.verify_mode is ssl.CERT_REQUIRED
