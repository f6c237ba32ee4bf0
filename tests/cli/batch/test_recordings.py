"""Recordings become clips that the encoder takes, wherever they come from, whole or not at all."""

from __future__ import annotations

import http.server
import threading

import numpy as np
import pytest
import soundfile

from realtime.cli.batch.manifest import Recording
from realtime.cli.batch.recordings import Recordings, named
from realtime.engine.api import Clip, UserTurn
from realtime.errors import AudioError
from realtime.session.windows import WINDOW


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, samples).astype(np.int16)


@pytest.fixture
def recordings(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(8_000), 16_000)
    return Recordings(tmp_path, max_s=60.0)


def test_parts_stay_in_order_and_paths_are_relative_to_the_manifest(recordings):
    turn = recordings.turn((Recording("a.wav"), "What is it?"), template=True)
    clip, text = turn.parts
    assert text == "What is it?"
    assert (clip.pcm == noise(8_000)).all()
    absolute = Recording(str(recordings.folder / "a.wav"))
    assert recordings.turn((absolute,), template=True).parts[0].id == clip.id


def test_a_long_recording_becomes_clips_and_nothing_is_lost(tmp_path):
    soundfile.write(tmp_path / "long.wav", noise(2 * WINDOW + 1), 16_000)
    turn = Recordings(tmp_path, max_s=90.0).turn((Recording("long.wav"), "Why?"), template=True)
    *cut, text = turn.parts
    assert text == "Why?"
    assert (np.concatenate([clip.pcm for clip in cut]) == noise(2 * WINDOW + 1)).all()
    assert len(cut) == len({clip.id for clip in cut}) == 3
    assert all(len(clip.pcm) <= WINDOW for clip in cut)


def test_the_same_samples_have_the_same_name_and_others_another():
    assert named(noise(100)).id == named(noise(100).copy()).id != named(noise(100, seed=1)).id


def test_in_a_prompt_a_recording_is_one_clip(tmp_path, recordings):
    soundfile.write(tmp_path / "long.wav", noise(WINDOW + 1), 16_000)
    assert len(recordings.turn((Recording("long.wav"),), template=True).parts) == 2
    with pytest.raises(AudioError, match=r"long\.wav lasts 30\.0 s"):
        recordings.turn((Recording("long.wav"),), template=False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.wav", "gone.wav"),
        ("broken.mp3", "broken.mp3: not a wav"),
        ("short.wav", "short.wav lasts 50 ms; 100 ms are needed"),
        ("endless.wav", "endless.wav: the audio lasts 61 s"),
        (".", "Is a directory"),
        ("a\0b", "null"),
        ("http://127.0.0.1:9/x.wav", "http://127.0.0.1:9/x.wav cannot be reached"),
    ],
)
def test_what_cannot_be_heard_is_named(tmp_path, recordings, name, words):
    (tmp_path / "broken.mp3").write_bytes(b"no audio at all" * 50)
    soundfile.write(tmp_path / "short.wav", noise(800), 16_000)
    soundfile.write(tmp_path / "endless.wav", noise(8_000 * 61), 8_000)
    with pytest.raises(AudioError) as caught:
        recordings.turn((Recording(name),), template=True)
    assert words in str(caught.value)


@pytest.fixture
def server(tmp_path):
    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_an_address_is_fetched(recordings, server):
    turn = recordings.turn((Recording(f"{server}/a.wav"),), template=True)
    assert isinstance(turn, UserTurn)
    assert isinstance(turn.parts[0], Clip)
    with pytest.raises(AudioError, match=f"{server}/gone.wav: HTTP 404"):
        recordings.turn((Recording(f"{server}/gone.wav"),), template=True)


def test_a_download_breaks_off_when_nobody_waits(recordings, server):
    recordings.closed.set()
    with pytest.raises(AudioError, match="nobody waits"):
        recordings.fetch(f"{server}/a.wav")
