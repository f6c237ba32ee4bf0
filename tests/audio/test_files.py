"""Decoding of whole, foreign, broken and hostile files."""

from __future__ import annotations

import os
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from encoding import KINDS as KINDS_OF_FFMPEG
from encoding import Kind, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.audio import files
from realtime.audio.files import read
from realtime.audio.pcm import Pcm
from realtime.errors import AudioError

KINDS = [
    pytest.param("WAV", "PCM_16", id="wav"),
    pytest.param("WAV", "PCM_U8", id="wav8"),
    pytest.param("WAV", "PCM_24", id="wav24"),
    pytest.param("WAV", "FLOAT", id="wavfloat"),
    pytest.param("WAV", "DOUBLE", id="wavdouble"),
    pytest.param("WAV", "ULAW", id="wavmulaw"),
    pytest.param("WAVEX", "PCM_16", id="wavex"),
    pytest.param("FLAC", "PCM_16", id="flac"),
    pytest.param("FLAC", "PCM_24", id="flac24"),
    pytest.param("MP3", "MPEG_LAYER_III", id="mp3"),
    pytest.param("OGG", "VORBIS", id="vorbis"),
    pytest.param("OGG", "OPUS", id="opus"),
]
Samples = npt.NDArray[np.floating]


def tone(rate: int = 48_000, seconds: float = 1.0, hertz: float = 500.0) -> Samples:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def encoded(
    samples: Samples | Pcm, rate: int = 48_000, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def pitch(samples: Pcm) -> float:
    inner = samples[4000:12000].astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(inner * np.hanning(inner.size))))) * 2


# --- what can be read


@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_every_kind_is_read(kind: str, subtype: str):
    samples = read(encoded(tone(), 48_000, kind, subtype))
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    assert abs(samples.size - 16_000) <= 16
    assert pitch(samples) == 500
    assert np.abs(samples[2000:-2000]).max() == pytest.approx(16_384, rel=0.05)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 96_000, 192_000])
def test_every_rate_is_brought_to_16_khz(rate: int):
    samples = read(encoded(tone(rate), rate))
    assert abs(samples.size - 16_000) <= 1
    assert pitch(samples) == 500


def test_16_khz_16_bit_is_read_exactly():
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(read(encoded(every, 16_000)), every)


def test_channels_are_mixed_down_evenly():
    left, right = tone(16_000), np.zeros(16_000)
    samples = read(encoded(np.stack([left, right], axis=1), 16_000))
    assert np.abs(samples).max() == pytest.approx(8_192, abs=2)


def test_many_channels_are_mixed_down():
    samples = read(encoded(np.stack([tone(16_000)] * 6, axis=1), 16_000))
    assert np.abs(samples).max() == pytest.approx(16_384, abs=2)


def test_a_float_file_beyond_full_scale_is_clipped():
    samples = read(encoded(3 * tone(16_000), 16_000, "WAV", "FLOAT"))
    assert samples.max() == 32767
    assert samples.min() == -32768


def test_channels_that_cancel_out_are_heard():
    left = tone(16_000)
    samples = read(encoded(np.stack([left, -left], axis=1), 16_000))
    assert np.array_equal(samples, read(encoded(left, 16_000)))


def test_a_file_of_many_blocks_is_read_whole():
    rng = np.random.default_rng(3)
    noise = rng.integers(-9000, 9000, 700_000).astype(np.int16)
    assert np.array_equal(read(encoded(noise, 16_000)), noise)
    assert np.array_equal(read(encoded(noise, 16_000, "FLAC")), noise)


# --- where it comes from


def test_paths_files_and_bytes_read_the_same(tmp_path: Path):
    data = encoded(tone())
    path = tmp_path / "tone.wav"
    path.write_bytes(data)
    expected = read(data)
    assert np.array_equal(read(path), expected)
    assert np.array_equal(read(str(path)), expected)
    with path.open("rb") as file:
        assert np.array_equal(read(file), expected)
        assert not file.closed
    assert np.array_equal(read(BytesIO(data)), expected)


def test_a_name_need_not_tell_the_kind(tmp_path: Path):
    path = tmp_path / "voice.bin"
    path.write_bytes(encoded(tone(), 48_000, "FLAC"))
    assert read(path).size == 16_000


def test_a_pipe_can_be_read():
    data = encoded(tone(16_000, 0.5), 16_000)  # 16 kB: fits the pipe
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(data)
    with os.fdopen(reading, "rb") as file:
        assert read(file).size == 8_000


def wav_claiming(data_bytes: int, audio: bytes) -> bytes:
    """Build a 16 kHz wav whose header claims so many bytes of audio."""
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    header += struct.pack("<4sI", b"data", data_bytes)
    return struct.pack("<4sI4s", b"RIFF", min(data_bytes + 36, 2**32 - 1), b"WAVE") + header + audio


@pytest.mark.parametrize("claim", [2**32 - 1, 2**31 - 4096])
def test_a_wav_that_was_written_to_a_pipe_is_whole(claim: int):
    """ffmpeg and espeak-ng cannot go back to write the length."""
    audio = np.arange(5_000).astype(np.int16)
    assert np.array_equal(read(wav_claiming(claim, audio.tobytes())), audio)


@pytest.mark.parametrize("more", [-10_000, 16, 44])
def test_a_wav_whose_header_is_wrong_about_its_length_is_whole(more: int):
    """Some writers never fill in the length, and some count the header in."""
    audio = np.arange(5_000).astype(np.int16)
    assert np.array_equal(read(wav_claiming(10_000 + more, audio.tobytes())), audio)


@pytest.mark.parametrize("kind", ["mp3", "m4a", "wav-24", "wav-adpcm"])
def test_what_libsndfile_does_not_read_is_read_all_the_same(kind: str):
    made = KINDS_OF_FFMPEG[kind]
    samples = read(encode(tone(made.rate, 2.0), made))
    assert 2.0 - 0.05 <= samples.size / 16_000 <= 2.0 + 0.1
    assert pitch(samples) == 500
    assert np.abs(samples[4000:-4000]).max() == pytest.approx(16_384, rel=0.25)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_of_64_bit_integers_is_read(channels: int):
    samples = np.repeat(tone(16_000)[:, None], channels, axis=1)
    audio = (samples * 2**63).astype("<i8").tobytes()
    shape = struct.pack("<IHHIIHH", 16, 1, channels, 16_000, 128_000 * channels, 8 * channels, 64)
    body = b"WAVEfmt " + shape + b"data" + struct.pack("<I", len(audio)) + audio
    found = read(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert np.abs(found - tone(16_000) * 2**15).max() <= 1


@pytest.mark.parametrize("kind", ["opus", "vorbis"])
def test_files_that_were_joined_are_read_to_the_end_of_the_last(kind: str):
    if kind == "vorbis":
        first, second = (encoded(tone(hertz=f), 48_000, "OGG", "VORBIS") for f in (500, 800))
    else:
        made = KINDS_OF_FFMPEG[kind]
        first, second = (encode(tone(made.rate, 1.0, hertz), made) for hertz in (500, 800))
    samples = read(first + second)
    assert 2.0 - 0.05 <= samples.size / 16_000 <= 2.0 + 0.2
    assert pitch(samples) == 500
    assert pitch(samples[-14_000:]) == 800


@pytest.mark.parametrize("kind", ["aac", "m4a", "mka", "mpegts"])
def test_eight_channels_are_read(kind: str):
    made = KINDS_OF_FFMPEG[kind]
    samples = read(encode(np.tile(tone(made.rate), (8, 1)), made))
    assert 1.0 - 0.05 <= samples.size / 16_000 <= 1.1
    assert pitch(samples) == 500


# --- what cannot be read


def test_wav_files_that_were_joined_are_an_error():
    """Every decoder stops behind the first."""
    with pytest.raises(AudioError, match="several wav files in one"):
        read(encoded(tone()) * 2)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"", "empty", id="zero bytes"),
        pytest.param(b"RIFF", "not a wav", id="four bytes"),
        pytest.param(b"What is the time?\n" * 500, "not a wav", id="text"),
        pytest.param(b"\0" * 5000, "not a wav", id="zeros"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 500, "not a wav", id="image"),
        pytest.param(wav_claiming(0, b""), "no audio", id="no frames"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not a wav", id="a list of files"),
        pytest.param(b"ffconcat version 1.0\nfile a.wav\n", "not a wav", id="another list"),
        pytest.param(encoded(tone(1_000), 1_000), "1000 Hz", id="absurd rate"),
    ],
)
def test_what_is_no_audio_is_an_error_that_says_so(data: bytes, text: str):
    with pytest.raises(AudioError, match=text):
        read(data)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_a_file_cut_off_is_an_error(kind: str, subtype: str, share: float):
    rng = np.random.default_rng(1)
    data = encoded(0.3 * rng.standard_normal(48_000 * 4), 48_000, kind, subtype)
    with pytest.raises(AudioError):
        read(data[: int(len(data) * share)])


def test_a_wav_cut_off_says_how_much_is_left():
    with pytest.raises(AudioError, match="cut off: 4000 of 32000 bytes"):
        read(wav_claiming(32_000, b"\1" * 4_000))


def test_a_flac_with_flipped_bits_is_an_error():
    rng = np.random.default_rng(2)
    data = bytearray(encoded(0.3 * rng.standard_normal(48_000), 48_000, "FLAC"))
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xa5" * 64
    with pytest.raises(AudioError, match="not a wav, flac"):
        read(bytes(data))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_a_float_file_with_no_numbers_is_an_error(bad: float, subtype: str):
    samples = tone()
    samples[30_000] = bad
    with pytest.raises(AudioError, match="sample 30000 is not a finite number"):
        read(encoded(samples, 48_000, "WAV", subtype))


def test_a_double_too_big_for_a_float_is_an_error():
    with pytest.raises(AudioError, match="finite"):
        read(encoded(np.array([0.0, 1e300]), 16_000, "WAV", "DOUBLE"))


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(AudioError, match="No such file"):
        read(tmp_path / "missing.wav")


def test_a_directory_is_an_error(tmp_path: Path):
    with pytest.raises(AudioError, match="Is a directory"):
        read(tmp_path)


def test_a_name_with_a_null_byte_is_an_error():
    with pytest.raises(AudioError, match="null"):
        read("a\0b.wav")


# --- bounds


def test_what_lasts_too_long_is_refused_by_its_header():
    with pytest.raises(AudioError, match="at most 1 s"):
        read(encoded(tone(8_000, 1.5), 8_000), max_s=1)


def test_an_hour_is_the_default_bound():
    """A flac of silence: 61 minutes in a few kilobytes."""
    data = encoded(np.zeros(8_000 * 60 * 61, np.int16), 8_000, "FLAC")
    assert len(data) < 500_000
    with pytest.raises(AudioError, match="at most 3600 s"):
        read(data)


def unknown_length(flac: bytes) -> bytes:
    """Zero the total of a flac's STREAMINFO: 36 bits from bit 108 (RFC 9639 section 8.2)."""
    data = bytearray(flac)
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def test_a_flac_of_unknown_length_is_read_whole():
    samples = np.random.default_rng(4).integers(-9000, 9000, 300_000).astype(np.int16)
    data = unknown_length(encoded(samples, 16_000, "FLAC"))
    assert np.array_equal(read(data), samples)


def test_what_lasts_too_long_is_refused_though_its_header_is_silent():
    data = unknown_length(encoded(np.zeros(8_000 * 60 * 61, np.int16), 8_000, "FLAC"))
    with pytest.raises(AudioError, match="at most 3600 s"):
        read(data)


def test_the_bound_itself_is_allowed():
    assert read(encoded(tone(16_000), 16_000), max_s=1).size == 16_000


# --- hostile bytes

WHOLE = {
    name: encode(tone(made.rate, 0.2), made)
    for name, made in KINDS_OF_FFMPEG.items()
    if name in ("mp3", "m4a", "webm", "opus", "aac", "mpegts")
}


@settings(deadline=None, max_examples=40)
@given(st.data())
@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16")])
def test_damaged_bytes_are_audio_or_an_audio_error(kind: str, subtype: str, data: st.DataObject):
    whole = bytearray(encoded(tone(16_000, 0.1), 16_000, kind, subtype))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(200, len(whole) - 1)))] = data.draw(st.integers(0, 255))
    try:
        samples = read(bytes(whole), max_s=60)
    except AudioError:
        return
    assert 0 < samples.size <= 60 * 16_000 + 1


@settings(deadline=None, max_examples=8)
@given(st.data())
@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_containers_are_audio_or_an_audio_error(kind: str, data: st.DataObject):
    whole = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        samples = read(bytes(whole), max_s=60)
    except AudioError:
        return
    assert 0 < samples.size <= 60 * 16_000 + 1


@settings(deadline=None, max_examples=4)  # a child for each; more of them in test_containers.py
@given(st.binary(max_size=300))
def test_random_bytes_are_an_audio_error(data: bytes):
    with pytest.raises(AudioError):
        read(data)


def test_an_mp3_with_tags_in_front_is_read_and_missed_when_cut_off():
    plain = encoded(tone(44_100, 4.0), 44_100, "MP3", "MPEG_LAYER_III")
    tags = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    assert abs(read(tags + plain).size - 64_000) < 10
    with pytest.raises(AudioError, match="cut off"):
        read((tags + plain)[: len(plain) // 2])


# --- who reads it, and how much at a time


def refused(file: BytesIO, max_s: float) -> Pcm:
    raise AudioError("given to FFmpeg")


@pytest.mark.parametrize(("kind", "subtype"), [k for k in KINDS if k.values[0] != "MP3"])
def test_these_are_read_without_ffmpeg(kind: str, subtype: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "decode_container", refused)
    assert abs(read(encoded(tone(seconds=0.2), 48_000, kind, subtype)).size - 3_200) <= 16


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(tone(), 48_000, "MP3", "MPEG_LAYER_III"), id="mp3"),
        pytest.param(encode(tone(), Kind("wav", "libmp3lame")), id="mp3 in a wav"),
        pytest.param(encoded(tone(), 48_000, "AIFF"), id="aiff"),
        pytest.param(encoded(tone()[:0]), id="no frames"),
        pytest.param(b"RIFF\4\0\0\0WAVE", id="a wav's head"),
    ],
)
def test_and_these_by_ffmpeg(data: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "decode_container", refused)
    with pytest.raises(AudioError, match="given to FFmpeg"):
        read(data)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_block_has_262144_samples_of_all_channels(channels: int, monkeypatch: pytest.MonkeyPatch):
    taken = []

    class Watched(files.Mixdown):
        def push(self, block: npt.NDArray[np.float32], rate: int) -> None:
            taken.append(block.shape)
            super().push(block, rate)

    monkeypatch.setattr(files, "Mixdown", Watched)
    rows = 2**18 // channels
    read(encoded(np.zeros((rows + 5, channels)), 16_000))
    assert taken == [(rows, channels), (5, channels)]


class Pipe(BytesIO):
    """A file that cannot seek."""

    asked = 0

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1) -> bytes:
        self.asked = size or 0
        return super().read(size)


def test_no_more_than_512_mib_are_read_from_a_pipe(monkeypatch: pytest.MonkeyPatch):
    pipe = Pipe(b"abc")
    assert files.seekable(pipe).read() == b"abc"
    assert pipe.asked == 512 * 1_024 * 1_024 + 1
    monkeypatch.setattr(files, "STREAM_BYTES", 2**20)
    assert len(files.seekable(Pipe(bytes(2**20))).read()) == 2**20
    with pytest.raises(AudioError, match="more than 1 MiB from a file that cannot seek"):
        files.seekable(Pipe(bytes(2**20 + 1)))


class Said:
    """A sound file, by what it says, and of silence."""

    samplerate, channels = 16_000, 1

    def __init__(self, frames: int = 100, held: int = 100, extra_info: str = "") -> None:
        self.frames, self.extra_info = frames, extra_info
        self.left = [held, 0]

    def read(self, size: int, dtype: str, *, always_2d: bool) -> npt.NDArray[np.float32]:
        return np.zeros((self.left.pop(0), 1), np.float32)


@pytest.mark.parametrize(
    ("frames", "held", "wrong"),
    [
        (100, 100, ""),
        (99, 100, ""),
        (101, 100, "cut off: 100 of 101 samples are left"),
        (2**62, 100, ""),
        (2**63 - 1, 100, ""),
        (2**62 - 1, 100, "at most 60 s"),
        (960_000, 960_000, ""),
        (960_001, 960_001, "at most 60 s"),
    ],
)
def test_a_sound_is_as_long_as_it_says(frames: int, held: int, wrong: str):
    sound = Said(frames, held)
    if not wrong:
        assert files.read_sound(sound, 60.0).size == held
    else:
        with pytest.raises(AudioError, match=wrong):
            files.read_sound(sound, 60.0)


@pytest.mark.parametrize(
    ("claimed", "left", "whole"),
    [
        (1_512, 1_000, True),
        (1_513, 1_000, False),
        (900, 1_000, True),
        (2**31 - 2**16 - 1, 1_000, False),
        (2**31 - 2**16, 1_000, True),
        (2**32 - 1, 1_000, True),
    ],
)
def test_a_wav_may_be_wrong_by_its_headers_or_wholly(claimed: int, left: int, whole: bool):
    sound = Said(extra_info=f"fmt  : 16\ndata : {claimed} (should be {left})\nEnd")
    if whole:
        files.check_whole(sound)
    else:
        with pytest.raises(AudioError, match=f"{left} of {claimed} bytes of audio are left"):
            files.check_whole(sound)


def test_a_wav_is_told_by_both_of_its_marks():
    assert files.is_wav(b"RIFF\0\0\0\0WAVE")
    assert not files.is_wav(b"RIFF\0\0\0\0AVI ")
    assert not files.is_wav(b"FORM\0\0\0\0WAVE")


@pytest.mark.parametrize("size", [4, 5, 2**8 + 4, 2**16 + 4, 2**24])
def test_a_second_wav_is_seen_behind_a_first_of_any_size(size: int):
    first = b"RIFF" + size.to_bytes(4, "little") + b"WAVE" + bytes(size - 4)
    file = BytesIO(first + b"RIFF\0\0\0\0WAVE")
    file.seek(5)
    with pytest.raises(AudioError, match="several wav files"):
        files.check_joints(file)
    files.check_joints(BytesIO(first + b"\0RIFF\0\0\0\0WAVE"))
