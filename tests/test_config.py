"""Settings: where they come from, who wins, and what is said of a wrong one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import config
from realtime.config import DEMO_MODEL, Settings
from realtime.errors import ConfigError
from realtime.gateway.http.settings import ServerConfig


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        file = tmp_path / "realtime.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_without_anything_said_the_defaults_hold_and_the_bundled_model_is_used():
    settings = config.load()
    assert settings == Settings()
    assert settings.worker.model == str(DEMO_MODEL)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8765)


def test_later_sources_win(toml):
    file = toml('[server]\nhost = "1.1.1.1"\nport = 1\ndrain_s = 1\n')
    environment = {"REALTIME_SERVER_PORT": "2", "REALTIME_SERVER_DRAIN_S": "2.5"}
    options = {("server", "drain_s"): 3.0, ("server", "log_json"): None}
    settings = config.load(file=file, environment=environment, options=options)
    assert settings.server == ServerConfig("1.1.1.1", 2, 3.0)


def test_every_section_can_be_set(toml):
    file = toml(
        """
        [connection]
        idle_s = 60
        [admission]
        sessions = 7
        [endpoint]
        hangover_ms = 700
        [session]
        max_turn_s = 100
        [session.sampling]
        temperature = 0
        max_tokens = 64
        [worker]
        model = "some/model"
        threads = 2
        """
    )
    settings = config.load(file=file)
    assert settings.connection.idle_s == 60
    assert settings.admission.sessions == 7
    assert settings.endpoint.hangover_ms == 700
    assert settings.session.max_turn_s == 100
    assert settings.session.sampling.temperature == 0
    assert settings.session.sampling.max_tokens == 64
    assert (settings.worker.model, settings.worker.threads) == ("some/model", 2)


def test_the_environment_reaches_every_setting():
    settings = config.load(
        environment={
            "REALTIME_SESSION_SAMPLING_TOP_P": "0.5",
            "REALTIME_SERVER_LOG_JSON": "true",
            "REALTIME_WORKER_MODEL": "123",
        }
    )
    assert settings.session.sampling.top_p == 0.5
    assert settings.server.log_json is True
    assert settings.worker.model == "123"


def test_the_environment_is_read_by_its_prefix_only(monkeypatch):
    monkeypatch.setenv("REALTIME_SERVER_PORT", "9")
    monkeypatch.setenv("SERVER_PORT", "10")
    assert config.environment()["REALTIME_SERVER_PORT"] == "9"
    assert all(name.startswith("REALTIME_") for name in config.environment())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nprot = 1", ["server.prot", "did you mean server.port?"]),
        ("port = 1", ["no setting port", "did you mean server.port?"]),
        ("[sever]\nport = 1", ["no setting sever", "did you mean server?"]),
        ("[server]\nxyzzy = 1", ["server.xyzzy", "there are host, port"]),
        ("[server.port]\na = 1", ["server.port = {'a': 1}", "a whole number"]),
        ("server = 5", ["server = 5", "it is a table, [server]"]),
        ('[server]\nport = "80"', ["server.port = '80'", "a whole number"]),
        ("[server]\nport = 80.5", ["server.port = 80.5", "a whole number"]),
        ("[server]\nport = true", ["server.port = True", "a whole number"]),
        ("[server]\nport = 70000", ["[server]", "0 to 65535", "70000"]),
        ('[server]\nlog_level = "loud"', ["'loud'", "one of debug, info, warning, error"]),
        ("[server]\ndrain_s = nan", ["[server]", "drain_s must be 0 to 3600, not nan"]),
        ("[connection]\nidle_s = 0", ["[connection]", "idle_s must be above 0"]),
        ("[worker]\nthreads = 0", ["[worker]", "threads must be at least 1"]),
        ('[worker]\nthreads = "two"', ["worker.threads = 'two'", "a whole number"]),
        ("[session.sampling]\ntop_p = 2", ["[session.sampling]", "top_p"]),
        ("[server\n", ["is not valid TOML"]),
    ],
)
def test_a_wrong_setting_in_a_file_is_named_with_what_is_allowed(toml, text, words):
    file = toml(text)
    with pytest.raises(ConfigError) as error:
        config.load(file=file)
    assert str(file) in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "REALTIME_SERVER_PROT",
            "1",
            ["REALTIME_SERVER_PROT", "did you mean REALTIME_SERVER_PORT"],
        ),
        ("REALTIME_QQQ_QQQ_QQQ", "1", ["no setting REALTIME_QQQ_QQQ_QQQ", "REALTIME_SECTION_KEY"]),
        ("REALTIME_SERVER_PORT", "many", ["server.port = 'many' (REALTIME_SERVER_PORT)"]),
        ("REALTIME_SERVER_PORT", "-1", ["port must be 0 to 65535, not -1 (REALTIME_SERVER_PORT)"]),
        ("REALTIME_SERVER_LOG_JSON", "perhaps", ["true or false"]),
    ],
)
def test_a_wrong_setting_in_the_environment_is_named(name, value, words):
    with pytest.raises(ConfigError) as error:
        config.load(environment={name: value})
    assert all(word in str(error.value) for word in words), error.value


def test_a_wrong_option_is_named():
    with pytest.raises(ConfigError, match=r"--port"):
        config.load(options={("server", "port"): 99999})


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
        config.load(file=tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        config.load(file=tmp_path)
    (tmp_path / "noise.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"noise\.toml is not valid TOML"):
        config.load(file=tmp_path / "noise.toml")


@given(st.binary(max_size=100))
def test_any_file_is_understood_or_refused_in_words(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("toml") / "any.toml"
    file.write_bytes(data)
    with contextlib.suppress(ConfigError):
        assert isinstance(config.load(file=file), Settings)


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        config.load().server.port = 5


# ---- keys and limits ----------------------------------------------------------------------------


def test_lists_are_written_as_lists_or_as_words(toml):
    file = toml(
        '[auth]\nkeys = ["one", "two"]\norigins = "https://a.example, https://b.example:1"\n'
    )
    auth = config.load(file=file).auth
    assert auth.keys == ("one", "two")
    assert auth.origins == ("https://a.example", "https://b.example:1")
    assert config.load(environment={"REALTIME_AUTH_KEYS": "one two"}).auth.keys == ("one", "two")


@pytest.mark.parametrize(
    "text",
    ["keys = 5", 'keys = ["hush-hush", 5]', 'secret = "hush-hush"', 'secret = ["hush-hush"]'],
)
def test_no_secret_is_told_when_it_is_wrong(toml, text):
    with pytest.raises(ConfigError) as error:
        config.load(file=toml(f"[auth]\n{text}\n"))
    assert "hush-hush" not in str(error.value)


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://App.example"])
def test_an_origin_that_no_browser_sends(origin):
    with pytest.raises(ConfigError, match=r"origins must be like https://example\.org"):
        config.load(environment={"REALTIME_AUTH_ORIGINS": origin})


def test_limits_that_mean_nothing():
    with pytest.raises(ConfigError, match="sessions must be 0 to"):
        config.load(environment={"REALTIME_LIMITS_SESSIONS": "-1"})
    with pytest.raises(ConfigError, match="max_asides must be 0 or more"):
        config.load(environment={"REALTIME_SESSION_MAX_ASIDES": "-1"})


def test_the_key_of_ask_is_no_setting(monkeypatch):
    monkeypatch.setenv("REALTIME_KEY", "sk-something")
    assert "REALTIME_KEY" not in config.environment()


def test_calls_over_webrtc_ask_no_server_unless_told(toml):
    assert config.load().webrtc.ice_urls == ()
    file = toml('[webrtc]\nice_servers = "stun:a.example:3478 turn:b.example?transport=udp"\n')
    environment = {"REALTIME_WEBRTC_PEERS": "7", "REALTIME_WEBRTC_ICE_CREDENTIAL": "secret"}
    webrtc = config.load(file=file, environment=environment).webrtc
    assert webrtc.ice_urls == ("stun:a.example:3478", "turn:b.example?transport=udp")
    assert (webrtc.peers, webrtc.ice_credential) == (7, "secret")
    assert "secret" not in repr(webrtc)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ICE_SERVERS", "http://a.example"),
        ("ICE_SERVERS", "stun:a.example?transport=udp"),
        ("PUBLIC_ADDRESS", "a.example"),
        ("PEERS", "0"),
        ("OPENING", "100000"),
        ("CONNECT_S", "0"),
    ],
)
def test_what_webrtc_cannot_use_is_refused_with_its_name(key, value):
    with pytest.raises(ConfigError, match=r"REALTIME_WEBRTC_" + key):
        config.load(environment={"REALTIME_WEBRTC_" + key: value})


@pytest.mark.parametrize("name", ["REALTIME_SERVER_LOG_LEVEL", "REALTIME_WORKER_MODEL"])
def test_bytes_that_are_no_text_are_refused_in_one_line(name):
    with pytest.raises(ConfigError, match=rf"{name}\) is not text in UTF-8"):
        config.load(environment={name: "x\udcff"})


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"[server]\nhost = '\xff'\n")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        config.load(file=tmp_path / "c.toml")
