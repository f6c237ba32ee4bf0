"""`realtime ask` from its arguments to its exit code, against a fake server."""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from certificates import self_signed
from fake_pcm_server import FakePcmServer, hush, serving_in_thread, tone
from typer.testing import CliRunner

from realtime.cli.main import app

ROOT = Path(__file__).parents[3]
FAST = ["--speed", "1000"]
SPEECH = tone(300)


@pytest.fixture
def wav(tmp_path):
    """Make recordings: their names in a temporary folder."""

    def make(name="question.wav", pcm=SPEECH, rate=16000):
        path = tmp_path / name
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(pcm)
        return str(path)

    return make


def ask(*arguments):
    """Run the command; give its result."""
    return CliRunner().invoke(app, ["ask", *arguments])


def ask_fake(fake, *arguments):
    with serving_in_thread(fake):
        return ask(*arguments, *FAST, "--url", fake.url)


def asked(fake):
    return [message["type"] for message in fake.peers[0].received]


def test_the_answer_is_one_line_on_stdout(wav):
    result = ask_fake(FakePcmServer(["Okay,\nthe  light is on."]), wav())
    assert (result.exit_code, result.stdout) == (0, "Okay, the light is on.\n")


def test_partials_and_latencies_are_on_stderr(wav):
    result = ask_fake(FakePcmServer(["It is Paris."]), question := wav())
    lines = result.stderr.splitlines()
    assert lines[:3] == [question, "connected: fake", "  It is Paris."]
    assert lines[3].startswith("  first partial ")
    assert " ms after the end of speech (0 ms of it waiting for more speech), complete " in lines[3]
    assert len(lines) == 4


def test_several_recordings_are_turns_of_one_conversation(wav):
    fake = FakePcmServer(["Nice to meet you, Anna.", "Your name is Anna."])
    result = ask_fake(fake, wav("a.wav"), wav("b.wav", rate=8000))
    assert result.stdout == "Nice to meet you, Anna.\nYour name is Anna.\n"
    assert "2 answers: first partial after " in result.stderr
    assert len(fake.peers) == 1


@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg"])
def test_other_kinds_of_files_are_heard(kind, tmp_path):
    path = tmp_path / f"question.{kind}"
    soundfile.write(path, np.frombuffer(tone(500), np.int16), 16000)
    result = ask_fake(FakePcmServer(["Yes."]), str(path))
    assert (result.exit_code, result.stdout) == (0, "Yes.\n")


def test_json_has_one_line_for_each_turn(wav):
    broken = {"code": "engine_error", "message": "It broke.", "fatal": False}
    fake = FakePcmServer(["Grüße.\n", broken])
    result = ask_fake(fake, one := wav("a.wav"), two := wav("b.wav"), "--json")
    first, second = map(json.loads, result.stdout.splitlines())
    ms = first.pop("ms")
    assert first == {
        "file": one,
        "turn": 1,
        "text": "Grüße.\n",
        "finish": "stop",
        "interrupted": False,
    }
    assert {"first_token", "total", "hangover", "first_partial", "writing"} == set(ms)
    assert second == {
        "file": two,
        "turn": 2,
        "text": "",
        "finish": "interrupted",
        "interrupted": True,
        "ms": {},
        "error": {"code": "engine_error", "message": "It broke."},
    }
    assert result.exit_code == 1


def test_a_written_instruction_goes_with_the_recording(wav):
    fake = FakePcmServer(["It is a siren."])
    result = ask_fake(fake, wav(pcm=tone(200) + hush(500) + tone(200)), "-t", "What's that sound?")
    assert result.stdout == "It is a siren.\n"
    assert asked(fake) == ["text", "commit"]
    assert fake.peers[0].query["turn_detection"] == "manual"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_recording_of_two_turns_has_two_lines(wav, as_json):
    fake = FakePcmServer(["It is a siren.", "It goes on."], longest_s=32)
    file = wav(pcm=tone(40_000))
    result = ask_fake(fake, file, "-t", "What's that?", *["--json"] * as_json)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert "It is long." in result.stderr
    if as_json:
        lines = [json.loads(line) for line in lines]
        assert [line["turn"] for line in lines] == [1, 2]
        lines = [line["text"] for line in lines]
    assert lines == ["It is a siren.", "It goes on."]


def test_each_recording_can_have_its_own_instruction(wav):
    fake = FakePcmServer()
    ask_fake(fake, wav("a.wav"), wav("b.wav"), "--text", "First?", "--text", "Second?")
    texts = [m["text"] for m in fake.peers[0].received if m["type"] == "text"]
    assert texts == ["First?", "Second?"]


def test_a_text_alone_is_a_question():
    fake = FakePcmServer(["Five."])
    result = ask_fake(fake, "--text", "what is two plus three", "--json")
    assert json.loads(result.stdout)["file"] is None
    assert asked(fake) == ["text", "respond"]
    assert "what is two plus three" in result.stderr


def test_a_standing_instruction_is_given_first(wav):
    fake = FakePcmServer()
    ask_fake(fake, wav(), "--instruction", "Answer in French.")
    assert fake.peers[0].received[0] == {"type": "instruction", "text": "Answer in French."}


def test_what_is_not_speech_is_committed(wav):
    fake = FakePcmServer(["It is rain."])
    result = ask_fake(fake, wav(pcm=bytes([30, 0]) * 16000))
    assert result.stdout == "It is rain.\n"
    assert asked(fake) == ["ping", "commit"]


def test_an_interrupted_answer_is_no_line_on_stdout(wav):
    class BargedIn(FakePcmServer):
        async def answer(self, peer, **ms):
            if peer.turn == 0:
                peer.turn = 1
                await peer.tell("partial", turn=1, seq=0, delta="One, two")
                await peer.tell("cancelled", turn=1, text="One, two")
                final = {"turn": 1, "text": "One, two", "finish": "interrupted", "ms": {}}
                await peer.tell("final", **final)
                return
            await super().answer(peer, **ms)

    result = ask_fake(BargedIn(["", "Stopped."]), wav(pcm=tone(200) + hush(400) + tone(200)))
    assert (result.exit_code, result.stdout) == (0, "Stopped.\n")
    assert "  One, two\n" in result.stderr


def test_a_recording_without_an_answer_fails(tmp_path, wav):
    result = ask_fake(FakePcmServer(), wav(pcm=tone(20)), "--text", "What?", "--json")
    assert result.exit_code == 1
    line = json.loads(result.stdout)
    assert (line["turn"], line["finish"], line["text"]) == (None, None, "")
    assert line["error"]["code"] == "audio_too_short"
    assert "  server: There is no audio." in result.stderr


# ---- what cannot be used: exit code 2 and one sentence ------------------------------------------


def sentence(result, code=2):
    """Check that the command left with one sentence; give it."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    *_, last = result.stderr.splitlines()
    assert last.startswith("realtime ask: ")
    assert "Traceback" not in result.stderr
    return last.removeprefix("realtime ask: ")


def float_wav(path, values):
    data = struct.pack(f"<{len(values)}f", *values)
    header = struct.pack(
        "<4sI8sIHHIIHH", b"RIFF", 36 + len(data), b"WAVEfmt ", 16, 3, 1, 16000, 64000, 4, 32
    )
    path.write_bytes(header + struct.pack("<4sI", b"data", len(data)) + data)
    return str(path)


def test_a_missing_file_is_named():
    assert "'nowhere.wav': No such file" in sentence(ask("nowhere.wav"))


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.wav", b"", "empty.wav: the file is empty"),
        ("text.mp3", b"This is no music.\n" * 100, "text.mp3: not a wav, flac, mp3 or ogg"),
        ("cut.flac", b"fLaC\0\0\0\x22" + bytes(20), "cut.flac: "),
        ("header.wav", b"RIFF\x24\0\0\0WAVEfmt ", "header.wav: "),
    ],
)
def test_a_file_that_is_no_audio_is_named(tmp_path, name, content, text):
    path = tmp_path / name
    path.write_bytes(content)
    assert text in sentence(ask(str(path)))


def test_a_file_of_no_numbers_is_named(tmp_path):
    path = float_wav(tmp_path / "nan.wav", [0.0, math.nan] * 8000)
    assert "nan.wav: sample 1 is not a finite number" in sentence(ask(path))


def test_a_folder_is_named(tmp_path):
    assert "Is a directory" in sentence(ask(str(tmp_path)))


def test_one_bad_file_stops_all_before_the_first_question(wav):
    fake = FakePcmServer()
    assert "nowhere.wav" in sentence(ask_fake(fake, wav(), "nowhere.wav"))
    assert fake.peers == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "there is nothing to ask"),
        (["--text", " "], "--text is empty"),
        (["--text", "a" * 20_000], "--text has 20000 bytes; at most 16384"),
        (["--text", "a\udcff"], "--text is not valid UTF-8"),
        (["a.wav", "b.wav", "c.wav", "-t", "1", "-t", "2"], "--text is given 2 times for 3"),
        (["--text", "a", "--instruction", "é" * 9000], "--instruction has 18000 bytes"),
        (["--text", "a", "--url", "127.0.0.1:8765"], "--url: '127.0.0.1:8765' is no WebSocket"),
        (["--text", "a", "--url", "ws://h", "--model", "m"], "--model is for a server started"),
        (["--text", "a", "--speed", "0"], "--speed must be 0.1 to 1000, not 0"),
        (["--text", "a", "--speed", "nan"], "--speed must be 0.1 to 1000, not nan"),
        (["--text", "a", "--timeout", "0"], "--timeout must be above 0"),
        (["http://[::1"], "'http://[::1' is no http(s) address"),
        (["-t", "a", "--url", "ws://h/v1/realtime"], "--url: /v1/realtime is OpenAI's protocol"),
        (["-t", "a", "--ca", "f"], "--ca is for a server at --url"),
        (["-t", "a", "--url", "ws://h", "--ca", "f"], "--ca is for TLS: give --url as wss://"),
        (["-t", "a", "--url", "wss://h", "--ca", "none.pem"], "--ca: none.pem cannot be read"),
        (["-t", "a", "--url", "ws://h", "--key", "a\r"], "characters that are in no key"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, text):
    assert text in sentence(ask(*arguments))


def test_a_web_address_that_nobody_serves_is_named(unused_tcp_port, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    url = f"http://127.0.0.1:{unused_tcp_port}/question.wav"
    assert sentence(ask(url)) == f"{url} cannot be reached: Connection refused"


def test_no_server_says_how_to_start_one(wav, unused_tcp_port):
    result = ask(wav(), "--url", f"ws://127.0.0.1:{unused_tcp_port}")
    assert "nothing listens at" in sentence(result)
    assert "realtime serve" in sentence(result)


def test_another_server_is_named(wav):
    fake = FakePcmServer(status=(404, {}, b""))
    assert "HTTP 404, there is no /v1/pcm there" in sentence(ask_fake(fake, wav()))


def keyless(fake, monkeypatch, *arguments):
    monkeypatch.delenv("REALTIME_KEY", raising=False)
    return sentence(ask_fake(fake, "--text", "a", *arguments))


def test_without_a_key_it_is_told_where_to_give_one(monkeypatch):
    body = b'{"error": {"message": "You sent no API key. Send one in a header."}}'
    fake = FakePcmServer(status=(401, {}, body))
    said = keyless(fake, monkeypatch)
    wanted = "wants an API key: give --key, or better REALTIME_KEY in the environment"
    assert said == f"{fake.url} {wanted}"


def test_with_a_wrong_key_it_is_told_where_it_came_from(monkeypatch):
    fake = FakePcmServer(status=(401, {}, b'{"error": {"message": "It is not one of ours."}}'))
    said = keyless(fake, monkeypatch, "--key", "sk-secret")
    assert said.endswith("It is not one of ours (the key is from --key or REALTIME_KEY)")
    assert "sk-secret" not in said


def test_a_certificate_of_ones_own_needs_ca(tmp_path):
    file, tls = self_signed(tmp_path)
    fake = FakePcmServer(["Yes."])
    with serving_in_thread(fake, tls):
        said = sentence(ask("--text", "a", "--url", fake.url))
        result = ask("--text", "a", "--url", fake.url, "--ca", file)
    assert said.endswith("certificate; --ca FILE trusts the one in FILE")
    assert (result.exit_code, result.stdout) == (0, "Yes.\n")


# ---- what fails on the way: exit code 1 ---------------------------------------------------------


def test_a_full_server_says_when_to_come_back(wav):
    fake = FakePcmServer(status=(503, {"Retry-After": "5"}, b'{"message": "All taken."}'))
    assert sentence(ask_fake(fake, wav()), 1).endswith("no room: All taken; try again in 5 s")


def test_a_connection_lost_on_the_way_is_one_sentence(wav):
    result = ask_fake(FakePcmServer(drop_after=1), wav())
    assert sentence(result, 1) == "the connection ended: the engine is on fire (close code 1011)"


def test_a_server_that_says_nothing_is_given_up(wav):
    class Mute(FakePcmServer):
        async def answer(self, peer, **_):
            pass

    fake = Mute()
    result = ask_fake(fake, wav(), "--timeout", "0.1")
    assert sentence(result, 1) == "no word from the server for 0.1 s"


# ---- as a process -------------------------------------------------------------------------------


class Mumbling(FakePcmServer):
    """Begins an answer and says no more."""

    begun = threading.Event()

    async def answer(self, peer, **_):
        await peer.tell("partial", turn=1, seq=0, delta="Well")


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_it_in_order(wav, number, code, text):
    fake = Mumbling()
    with serving_in_thread(fake):
        command = [sys.executable, "-m", "realtime", "ask", wav(), *FAST, "--url", fake.url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            shown = ""
            while "Well" not in shown:
                shown += process.stderr.read(1) or pytest.fail(shown)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err.endswith(f"realtime ask: {text}\n")
    assert "Traceback" not in err
    assert fake.peers[0].socket.close_code == 1000


def test_a_reader_that_leaves_ends_it_without_a_traceback(wav):
    fake = FakePcmServer(["Yes."])
    with serving_in_thread(fake):
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "realtime", "ask", wav(), *FAST, "--url", fake.url]
        with os.fdopen(write, "wb") as closed:
            run = subprocess.run(
                command, stdout=closed, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60
            )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr


def test_help_answers_without_heavy_libraries():
    program = (
        "import sys; from realtime.cli.main import app; from typer.testing import CliRunner;"
        "result = CliRunner().invoke(app, ['ask', '--help']); print(result.output);"
        "print([m for m in ('torch', 'websockets', 'soundfile', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert "realtime ask question.wav" in run.stdout
    assert run.stdout.splitlines()[-1] == "[]", run.stderr
