"""What is asked is read and checked before anything is started."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
import soundfile
from rich.console import Console

from client.dialogue import Question
from realtime.cli.ask import questions
from realtime.cli.ask.questions import MAX_TEXT, check, check_server, check_text, gather
from realtime.errors import AudioError, ConfigError

SOUND = (np.arange(1_600) * 7 % 2_000).astype(np.int16)


@pytest.fixture
def console():
    return Console(file=StringIO())


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, SOUND, 16_000)
    return str(path)


def test_recordings_are_samples_at_16_khz_each_with_its_text(wav, console):
    asked = list(gather([wav, wav], ["One?", "Two?"], console))
    assert asked == [Question(wav, SOUND.tobytes(), "One?"), Question(wav, SOUND.tobytes(), "Two?")]


def test_one_text_is_for_all_recordings_and_none_for_none(wav, console):
    assert [q.text for q in gather([wav] * 3, ["What?"], console)] == ["What?"] * 3
    assert [q.text for q in gather([wav], [], console)] == [""]


def test_texts_alone_are_questions(console):
    assert list(gather([], ["One?", "Two?"], console)) == [
        Question("One?", text="One?"),
        Question("Two?", text="Two?"),
    ]


@pytest.mark.parametrize(
    ("names", "texts", "words"),
    [
        (0, [], "there is nothing to ask"),
        (1, ["  "], "--text is empty"),
        (3, ["a", "b"], "--text is given 2 times for 3 recordings"),
        (1, ["\udcff"], "--text is not valid UTF-8"),
    ],
)
def test_what_cannot_be_asked_is_refused(wav, console, names, texts, words):
    with pytest.raises(ConfigError, match=words):
        list(gather([wav] * names, texts, console))


def test_a_text_may_have_what_a_message_carries_and_no_byte_more():
    check_text("--text", "é" * (MAX_TEXT // 2))
    with pytest.raises(ConfigError, match=f"--text has {MAX_TEXT + 1} bytes; at most {MAX_TEXT}"):
        check_text("--text", "a" * (MAX_TEXT + 1))


@pytest.mark.parametrize("speed", [0.1, 1, 1000])
@pytest.mark.parametrize("patience", [0.001, 86_400])
def test_the_ends_of_what_is_allowed_are_allowed(speed, patience):
    check(speed=speed, patience=patience, instruction="")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"speed": 0.09}, "--speed must be 0.1 to 1000, not 0.09"),
        ({"speed": 1001}, "--speed"),
        ({"patience": 0}, "--timeout must be above 0, at most 86400, not 0"),
        ({"patience": 86_401}, "--timeout"),
        ({"instruction": "a" * 20_000}, "--instruction has 20000 bytes"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        check(**{"speed": 1.0, "patience": 1.0, "instruction": ""} | given)


@pytest.mark.parametrize(
    ("url", "given", "words"),
    [
        (None, {"ca": "f"}, "--ca is for a server at --url"),
        ("ws://h", {"model": "m"}, "--model is for a server started here"),
        ("ws://h", {"key": "a\n"}, "characters that are in no key"),
        ("ws://h", {"key": "ключ"}, "characters that are in no key"),
        ("http//h", {}, "--url: "),
        ("ws://h", {"ca": "f"}, "--ca is for TLS"),
        ("wss://h", {"ca": "none.pem"}, "--ca: none.pem cannot be read"),
    ],
)
def test_what_cannot_be_said_of_a_server_is_refused(url, given, words):
    with pytest.raises(ConfigError, match=words):
        check_server(url, **{"model": None, "key": None, "ca": None} | given)


def test_a_server_of_ones_own_may_have_a_model_and_another_a_key():
    check_server(None, model="m", key=None, ca=None)
    check_server("ws://h", model=None, key="sk-1", ca=None)


def test_an_address_is_downloaded_and_named_when_it_is_no_sound(monkeypatch, console):
    asked = []

    def download(url, *, progress):
        asked.append(url)
        progress(3, 6)
        return b"no sound at all" * 50

    monkeypatch.setattr(questions, "download", download)
    with pytest.raises(AudioError, match=r"http://h/a\.mp3: not a wav"):
        list(gather(["http://h/a.mp3"], [], console))
    assert asked == ["http://h/a.mp3"]
