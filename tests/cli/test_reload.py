"""Settings that change on a server that runs, and those that do not."""

from __future__ import annotations

import shutil
import ssl
from dataclasses import replace

import pytest
import structlog
from certificates import config
from fakes import undisturbed_logging
from gateway_place import Place, serving, until
from structlog.testing import capture_logs

from realtime import config as configuration
from realtime.cli.reload import differences, fixed, merged, reload
from realtime.config import Settings
from realtime.errors import ConfigError
from realtime.gateway.access.settings import AuthConfig, LimitsConfig
from realtime.gateway.http.settings import ServerConfig

PAGE = {"additional_headers": {"Origin": "https://example.org"}}
KEY, OTHER = "sk-a-key-of-this-test", "sk-another-key-of-this"


@pytest.fixture(autouse=True)
def _own_log():
    with undisturbed_logging():
        yield


def settings(text: str, folder) -> Settings:
    """Read settings as the operator writes them."""
    (folder / "c.toml").write_text(text)
    return configuration.load(file=folder / "c.toml")


def reloaded(place: Place, new: Settings) -> list[dict]:
    """Give what the log has of a reload."""
    with capture_logs() as logs:
        reload(place.server, place.gateway, place.gateway.settings, lambda: new)
    return logs


async def test_what_can_change_changes_for_who_comes_then(tmp_path):
    old = settings("", tmp_path)
    async with serving(old) as place:
        assert (await place.refusal(**PAGE))[0] == 403
        async with place.connect() as before:
            await until(before, "session.created")
            new = settings(
                "[server]\ndrain_s = 3\nping_interval_s = 7\nstrangers = 5\nlog_level = 'error'\n"
                "[auth]\norigins = ['https://example.org']\n"
                "[session]\ninstructions = 'Be brief.'\n"
                "[admission]\nsessions = 2\n"
                "[webrtc]\npeers = 9\n"
                "[endpoint]\nhangover_ms = 700\n",
                tmp_path,
            )
            (line,) = reloaded(place, new)
            assert (line["event"], line["log_level"]) == ("settings read again", "info")
            assert line["changed"] == [
                "admission.sessions",
                "auth.origins",
                "endpoint.hangover_ms",
                "server.drain_s",
                "server.log_level",
                "server.ping_interval_s",
                "server.strangers",
                "session.instructions",
                "webrtc.peers",
            ]
            async with place.connect(**PAGE) as after:
                session = (await until(after, "session.created"))["session"]
                assert session["instructions"] == "Be brief."
                assert (await place.refusal())[0] == 503
            await (await before.ping())
        assert place.gateway.settings == new
        assert place.server.strangers.most == 5
        assert place.server.config.ws_ping_interval == 7
        assert place.calls.config.peers == 9
        assert not structlog.get_logger().is_enabled_for(30)


async def test_what_needs_a_restart_is_named_and_stays(tmp_path):
    old = settings("", tmp_path)
    async with serving(old) as place:
        new = settings(
            f"[server]\nport = 1\ntls_certificate = 'a.pem'\ntls_key = 'b.pem'\ndrain_s = 3\n"
            f"[auth]\nkeys = ['{KEY}']\n[worker]\nmodel = 'another'\n",
            tmp_path,
        )
        read, restart = reloaded(place, new)
        assert read["changed"] == ["server.drain_s"]
        assert restart["event"] == "these settings need a restart"
        assert restart["settings"] == [
            "auth.keys",
            "server.port",
            "server.tls_certificate",
            "server.tls_key",
            "worker.model",
        ]
        assert KEY not in str((read, restart))
        assert place.gateway.settings == replace(old, server=ServerConfig(drain_s=3))
        assert reloaded(place, new)[0]["changed"] == []  # once more, the same are named
        async with place.connect() as socket:
            await until(socket, "session.created")


async def test_limits_change_for_keys_that_are_in_use():
    async with serving(Settings()) as place, place.connect() as first:
        await until(first, "session.created")
        reloaded(place, Settings(limits=LimitsConfig(sessions=1, sessions_per_minute=10)))
        assert (await place.refusal())[0] == 429
        reloaded(place, Settings(limits=LimitsConfig(sessions=2, sessions_per_minute=10)))
        async with place.connect() as second:
            await until(second, "session.created")


async def test_keys_of_the_settings_change():
    async with serving(Settings(auth=AuthConfig(keys=(KEY,)))) as place:
        reloaded(place, Settings(auth=AuthConfig(keys=(OTHER,))))
        assert (await place.refusal(subprotocols=[f"openai-insecure-api-key.{KEY}"]))[0] == 401
        bearer = {"Authorization": f"Bearer {OTHER}"}
        async with place.connect(additional_headers=bearer) as socket:
            await until(socket, "session.created")


async def test_what_cannot_be_used_costs_one_line_and_changes_nothing(tmp_path, files):
    old = Settings(server=config(files), auth=AuthConfig(keys=(KEY,)))
    shutil.copy(files / "cert.pem", tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"[server]\nhost = '\xff'\n")
    (tmp_path / "keys.txt").write_bytes(b"sha256:\xff\n")
    trust = ssl.create_default_context(cafile=old.server.tls_certificate)

    def unreadable() -> Settings:
        return configuration.load(file=tmp_path / "bad.toml")

    broken = [
        replace(old, server=config(files, key="other.pem")),
        replace(old, server=config(files, certificate="none.pem")),
        replace(old, auth=AuthConfig(key_file=str(tmp_path / "keys.txt"))),
        replace(old, auth=AuthConfig(key_file=str(tmp_path / "none.txt"))),
    ]
    async with serving(old, trust=trust) as place:
        for reread in (unreadable, *(lambda new=new: new for new in broken)):
            with capture_logs() as logs:
                reload(place.server, place.gateway, place.gateway.settings, reread)
            (line,) = logs
            assert (line["event"], line["log_level"]) == ("the settings stay as they were", "error")
            assert "exc_info" not in line
            assert place.gateway.settings == old
            answer = await place.ask("GET", "/healthz")
            assert answer.json() == {"status": "alive"}


async def test_a_new_certificate_holds_from_the_next_handshake_on(tmp_path, files):
    for name in ("cert.pem", "key.pem"):
        shutil.copy(files / name, tmp_path)
    first = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    async with (
        serving(Settings(server=config(tmp_path)), trust=first) as place,
        place.connect() as before,
    ):
        await until(before, "session.created")
        for name in ("cert.pem", "key.pem"):
            shutil.copy(files / f"renewed-{name}", tmp_path / name)
        reloaded(place, place.gateway.settings)
        with pytest.raises(ssl.SSLCertVerificationError):
            await place.connect()
        place.trust = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        async with place.connect() as after:
            await until(after, "session.created")
        await (await before.ping())


def test_what_is_kept_is_kept_in_every_section():
    old, new = Settings(), configuration.load(options={("worker", "dtype"): "float32"})
    changed = differences(old, new)
    assert changed == {("worker", "dtype")} == changed & fixed(old, new)
    assert merged(old, new, changed) == old
    assert merged(old, new, set()) == new


def test_settings_that_cannot_be_read_are_an_error_of_their_own(tmp_path):
    with pytest.raises(ConfigError, match="valid TOML"):
        settings("[server", tmp_path)
