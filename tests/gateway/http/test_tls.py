"""TLS with certificate files: a real handshake, real endings, and files that are none."""

from __future__ import annotations

import ssl

import pytest
from certificates import config
from gateway_place import rest, serving, until

from realtime.config import Settings
from realtime.errors import ConfigError
from realtime.gateway.http.settings import ServerConfig
from realtime.gateway.http.tls import tls_context


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
