"""Containers decoded in this process: of kinds over which PyAV aborts see test_decoder.py."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import numpy.typing as npt
import pytest
from encoding import KINDS as KINDS_OF_FFMPEG
from encoding import Kind, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.audio import containers
from realtime.audio.containers import BLOCK, REFUSED, Packed, Track, gathered, promised, reason
from realtime.audio.mixdown import Floats
from realtime.audio.pcm import Pcm
from realtime.errors import AudioError

Samples = npt.NDArray[np.floating]
MEASURED = {
    "aiff": KINDS_OF_FFMPEG["aiff"],
    "asf": KINDS_OF_FFMPEG["wma"],
    "au": KINDS_OF_FFMPEG["au"],
    "avi": KINDS_OF_FFMPEG["avi"],
    "caf": KINDS_OF_FFMPEG["caf"],
    "flac": Kind("flac", "flac"),
    "flv": KINDS_OF_FFMPEG["flv"],
    "matroska": KINDS_OF_FFMPEG["mka"],
    "mov": KINDS_OF_FFMPEG["m4a"],
    "w64": KINDS_OF_FFMPEG["w64"],
    "wav": KINDS_OF_FFMPEG["rf64"],
    "fragments": KINDS_OF_FFMPEG["mp4-fragmented"],
    "webm": KINDS_OF_FFMPEG["webm"],
}


def read(data: bytes, max_s: float = 3600.0) -> Pcm:
    return containers.decode(BytesIO(data), max_s)


def tone(rate: int = 48_000, seconds: float = 1.0, hertz: float = 500.0) -> Samples:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def noise(rate: int, seconds: float) -> Samples:
    return 0.3 * np.random.default_rng(1).standard_normal(round(rate * seconds))


def pitch(samples: Pcm) -> float:
    inner = samples[4000:12000].astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(inner * np.hanning(inner.size))))) * 2


# ---- what can be read ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS_OF_FFMPEG)
def test_every_kind_of_ffmpeg_is_read_whole(kind: str):
    made = KINDS_OF_FFMPEG[kind]
    samples = read(encode(tone(made.rate, 2.0), made))
    assert 2.0 - 0.05 <= samples.size / 16_000 <= 2.0 + 0.1
    assert pitch(samples) == 500
    assert np.abs(samples[4000:-4000]).max() == pytest.approx(16_384, rel=0.25)


@pytest.mark.parametrize("kind", ["mp3", "mp3-variable-bare", "opus", "aac", "mpegts"])
def test_files_that_were_joined_are_read_to_the_end_of_the_last(kind: str):
    made = KINDS_OF_FFMPEG[kind]
    first, second = (encode(tone(made.rate, 1.0, hertz), made) for hertz in (500, 800))
    samples = read(first + second)
    assert 2.0 - 0.05 <= samples.size / 16_000 <= 2.0 + 0.2
    assert pitch(samples) == 500
    assert pitch(samples[-14_000:]) == 800


def test_parts_of_another_rate_are_brought_to_the_same():
    wide, narrow = (Kind("mp3", "libmp3lame", rate) for rate in (44_100, 22_050))
    samples = read(encode(tone(44_100), wide) + encode(tone(22_050), narrow))
    assert 2.0 - 0.05 <= samples.size / 16_000 <= 2.0 + 0.2
    assert pitch(samples) == pitch(samples[-14_000:]) == 500


def test_of_a_film_its_sound_is_read():
    made = KINDS_OF_FFMPEG["mp4"]
    samples = read(encode(tone(made.rate, 1.0), made, pictures=50))
    assert 1.0 - 0.05 <= samples.size / 16_000 <= 1.1


def test_a_track_that_comes_up_on_the_way_costs_nothing_of_the_first():
    made = KINDS_OF_FFMPEG["mpegts"]
    packets = encode(tone(made.rate, 0.5), made)
    last = packets.rindex(b"\x47\x41\x00")  # packet 0x0100, which is the audio, begins a frame
    late = packets[:last] + b"\x47\x5e\x00" + packets[last + 3 :]
    assert 0.25 <= read(late).size / 16_000 <= 0.6


def test_a_film_without_sound_is_an_error():
    with pytest.raises(AudioError, match="no audio, only pictures"):
        read(silent_film())


def silent_film() -> bytes:
    file = BytesIO()
    with av.open(file, "w", format="mp4") as box:
        film = box.add_stream("mpeg4", 25, width=32, height=32)
        for _ in range(5):
            box.mux(film.encode(av.VideoFrame(32, 32, "yuv420p")))
        box.mux(film.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("kind", sorted(MEASURED.keys() - {"asf", "avi", "caf"}))
def test_a_container_cut_off_is_an_error(kind: str, share: float):
    made = MEASURED[kind]
    data = encode(noise(made.rate, 10), made)
    with pytest.raises(AudioError):
        read(data[: int(len(data) * share)])


# --- mp3 without a header that tells the length


VARIABLE = {"q": "4", "flags": "+qscale", "global_quality": "472"}


def mp3_without_length(levels: list[float], **options: str) -> bytes:
    """Encode 20 s of noise at changing levels with ffmpeg's mp3 writer, no Xing frame."""
    rng = np.random.default_rng(5)
    swell = np.repeat(levels, 20 * 44_100 // len(levels))
    samples = (swell * rng.uniform(-1, 1, swell.size) * 32767).astype(np.int16)
    file = BytesIO()
    with av.open(file, "w", format="mp3", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=44_100, layout="mono", options=options)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16p", layout="mono")
        frame.sample_rate = 44_100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def test_a_constant_rate_mp3_without_length_is_read_whole():
    samples = read(mp3_without_length([0.0, 0.3], b="64k"))
    assert abs(samples.size - 20 * 16_000) < 2_000


def test_a_variable_rate_mp3_without_length_is_read_whole_where_it_can_be():
    samples = read(mp3_without_length([0.0, 0.01, 0.3, 0.3], **VARIABLE))
    assert abs(samples.size - 20 * 16_000) < 2_000


def test_a_variable_rate_mp3_without_length_is_never_cut_in_silence():
    """Its loud first frame makes it look shorter than it is."""
    samples = read(mp3_without_length([0.3, 0.01, 0.0, 0.0], **VARIABLE))
    assert abs(samples.size - 20 * 16_000) < 2_000


# ---- how much of it -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MEASURED)
def test_what_says_that_it_lasts_too_long_is_refused_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    made = MEASURED[kind]
    data = encode(noise(made.rate, 2.0), made)
    monkeypatch.setattr(containers, "Mixdown", None)
    with pytest.raises(AudioError, match="at most 1 s"):
        read(data, max_s=1.0)


def test_what_does_not_say_is_refused_where_it_gets_too_long():
    made = KINDS_OF_FFMPEG["webm-live"]
    data = encode(noise(made.rate, 2.0), made)
    assert read(data, max_s=2.1).size == pytest.approx(32_000, abs=500)
    with pytest.raises(AudioError, match="at most 1 s"):
        read(data, max_s=1.0)


@pytest.mark.parametrize("kind", ["mp3", "aiff", "flv"])
def test_what_is_cut_off_says_how_much_is_left(kind: str):
    made = KINDS_OF_FFMPEG[kind]
    data = encode(noise(made.rate, 10.0), made)
    with pytest.raises(
        AudioError, match=r"^the file is cut off: (4\.9|5\.\d) of 1[01]\.\d s are left$"
    ):
        read(data[: len(data) // 2])


def test_a_few_thousand_samples_less_than_promised_are_what_encoders_miscount():
    made = KINDS_OF_FFMPEG["au"]
    data = encode(tone(made.rate, 4.0), made)
    assert read(data[: -2 * 8_192]).size == pytest.approx(64_000 - 8_192 / 3, abs=2)
    with pytest.raises(AudioError, match="cut off"):
        read(data[: -2 * 8_193])


# ---- what is damaged ----------------------------------------------------------------------------


class FakePacket:
    """A tenth of a second, or what cannot be decoded."""

    time_base = Fraction(1, 1_000)

    def __init__(self, pts: int | None = 0, duration: int | None = 100, whole: bool = True) -> None:
        self.pts, self.duration, self.whole = pts, duration, whole

    def decode(self) -> list[av.AudioFrame]:
        if not self.whole:
            raise av.InvalidDataError(1, "damaged")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8_000
        return [frame]


class FakeBox:
    """A container of these packets, which PyAV may lose count of at its end."""

    def __init__(self, *packets: FakePacket, lost: bool = False) -> None:
        self.given, self.lost = packets, lost

    def demux(self, stream: object) -> Iterator[FakePacket]:
        yield from self.given
        if self.lost:
            raise IndexError("tuple index out of range")


def track(*packets: FakePacket, lost: bool = False) -> tuple[int, float]:
    """Give how many samples a track of these packets has, and where it ends."""
    found = Track(FakeBox(*packets, lost=lost), None)  # type: ignore[arg-type]
    samples = sum(len(block) for block, _ in found.frames())
    return samples, found.reached


def test_a_track_ends_where_its_last_packet_does():
    packets = [FakePacket(pts) for pts in (0, 900, 300)]
    assert track(*packets) == (2_400, 1.0)
    assert track(*packets, lost=True) == (2_400, 1.0)
    assert track(FakePacket(500, None)) == (800, 0.5)
    assert track(FakePacket(None)) == (800, 0.0)


@pytest.mark.parametrize(("damaged", "whole"), [(1, 0), (2, 0), (2, 20), (5, 95), (10, 190)])
def test_a_few_damaged_packets_are_passed_over(damaged: int, whole: int):
    packets = [FakePacket(whole=n >= damaged) for n in range(damaged + whole)]
    assert track(*packets)[0] == 800 * whole


@pytest.mark.parametrize(("damaged", "whole"), [(3, 0), (3, 50), (6, 94), (11, 189)])
def test_many_damaged_packets_are_a_damaged_file(damaged: int, whole: int):
    packets = [FakePacket(whole=n >= damaged) for n in range(damaged + whole)]
    words = f"^the file is damaged: {damaged} of {damaged + whole} packets cannot be decoded$"
    with pytest.raises(AudioError, match=words):
        track(*packets)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"Good morning.\n" * 50, id="text"),
        pytest.param(bytes(1_000), id="zeros"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", id="m3u8"),
        pytest.param(b"ffconcat version 1.0\nfile '/etc/hostname'\n", id="a list of parts"),
        pytest.param(b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 5004 RTP/AVP 0\n", id="sdp"),
        pytest.param(b"RIFF\x04\0\0\0WAVE", id="a wav's head"),
    ],
)
def test_what_is_no_sound_file_or_leads_to_others_is_not_opened(data: bytes):
    with pytest.raises(AudioError) as error:
        read(data)
    words = str(error.value)
    assert words.startswith(
        "not a wav, flac, mp3 or ogg file, nor another sound file that is whole: "
    )
    assert not words.endswith((".", " "))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300))
def test_random_bytes_are_an_audio_error(data: bytes):
    with pytest.raises(AudioError):
        read(data)


# ---- its parts ----------------------------------------------------------------------------------


def ones(rows: int, channels: int = 1) -> Floats:
    return np.ones((rows, channels), np.float32)


def blocks(*frames: tuple[Floats, int]) -> list[tuple[tuple[int, ...], int]]:
    given: Iterator[tuple[Floats, int]] = iter(frames)
    return [(block.shape, rate) for block, rate in gathered(given)]


def test_frames_are_joined_to_blocks_of_one_kind():
    assert blocks() == []
    assert blocks((ones(3), 8_000), (ones(4), 8_000)) == [((7, 1), 8_000)]
    assert blocks((ones(3), 8_000), (ones(4), 16_000)) == [((3, 1), 8_000), ((4, 1), 16_000)]
    assert blocks((ones(3), 8_000), (ones(4, 2), 8_000)) == [((3, 1), 8_000), ((4, 2), 8_000)]


def test_a_block_takes_no_more_once_it_is_full():
    half = ones(BLOCK // 4, 2)
    told = blocks((half, 8_000), (half, 8_000), (half, 8_000))
    assert told == [((BLOCK // 2, 2), 8_000), ((BLOCK // 4, 2), 8_000)]
    under = ones(BLOCK - 1)
    assert blocks((under, 8_000), (under, 8_000)) == [((2 * BLOCK - 2, 1), 8_000)]


def test_a_block_is_full_with_131072_samples():
    full, one = ones(2**17), ones(1)
    under = ones(2**17 - 1)
    assert [shape[0] for (shape, _) in blocks((under, 8), (one, 8), (one, 8))] == [2**17, 1]
    assert [shape[0] for (shape, _) in blocks((full, 8), (one, 8))] == [2**17, 1]
    assert [shape[0] for (shape, _) in blocks((full, 8), (under, 8), (one, 8))] == [2**17] * 2
    assert [shape[0] for (shape, _) in blocks((full, 8), (full, 8), (one, 8))] == [*[2**17] * 2, 1]


class Said:
    """A container and its one stream, by what they say."""

    def __init__(self, name: str, duration: int | None = None, streams: int = 1) -> None:
        self.name, self.duration = name, duration
        self.streams = [self] * streams
        self.time_base: Fraction | None = Fraction(1, 8_000)

    @property
    def format(self) -> Said:
        return self


def said_by(box: Said, stream: Said) -> float | None:
    return promised(box, stream)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "aiff",
        "asf",
        "au",
        "avi",
        "caf",
        "flac",
        "flv",
        "matroska,webm",
        "mov,mp4,m4a",
        "w64",
        "wav",
    ],
)
def test_these_containers_say_how_long_they_are(name: str):
    stream = Said("", duration=12_000)
    assert said_by(Said(name), stream) == 1.5
    assert said_by(Said(name, 2_500_000), Said("")) == 2.5
    assert said_by(Said(name, 2_500_000), stream) == 1.5
    assert said_by(Said(name, 2_500_000, streams=2), Said("")) is None
    assert said_by(Said(name), Said("")) is None
    stream.time_base = None
    assert said_by(Said(name, 2_500_000), stream) == 2.5


@pytest.mark.parametrize("name", ["mp3", "ogg", "aac", "mpegts", "amr", "wv"])
def test_of_these_ffmpeg_guesses_it(name: str):
    assert said_by(Said(name, 2_500_000), Said("", duration=12_000)) is None


def test_what_ffmpeg_says_ends_without_a_full_stop():
    assert reason(av.FFmpegError(1, "Something is amiss. ")) == "Something is amiss"
    assert "nameless" in reason(av.FFmpegError(1, "", "nameless"))


def test_names_in_another_encoding_do_no_harm():
    audio = encode(tone(16_000, 0.1), KINDS_OF_FFMPEG["au"])
    info = b"INFOINAM\x04\0\0\0\xff\xfe\xfd\0"
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    body += b"LIST" + struct.pack("<I", len(info)) + info
    body += b"data" + struct.pack("<I", 3_200) + audio[-3_200:]
    assert read(b"RIFF" + struct.pack("<I", len(body)) + body).size == 1_600


@pytest.mark.parametrize(
    ("format", "layout"), [("s16", "stereo"), ("s16p", "stereo"), ("fltp", "5.1"), ("u8", "mono")]
)
def test_frames_of_any_kind_become_rows_of_plus_minus_one(format: str, layout: str):
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    rows = np.linspace(-0.9, 0.9, 100 * channels, dtype=np.float32).reshape(100, channels)
    packed = av.AudioFrame.from_ndarray(rows.reshape(1, -1), format="flt", layout=layout)
    packed.sample_rate = 48_000
    given = Packed()
    for (frame,) in (av.AudioResampler(format, layout).resample(packed) for _ in range(2)):
        (found,) = given.floats(frame)
        assert found.dtype == np.float32
        assert np.abs(found - rows).max() < 0.01


def test_a_stream_may_change_its_kind_on_the_way():
    given = Packed()
    for rate, layout, channels in ((48_000, "mono", 1), (48_000, "stereo", 2), (8_000, "mono", 1)):
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 100 * channels), np.float32), format="flt", layout=layout
        )
        frame.sample_rate = rate
        assert [rows.shape for rows in given.floats(frame)] == [(100, channels)]


# ---- as a program -------------------------------------------------------------------------------


class Standard:
    """A stream of the process, of bytes."""

    def __init__(self, data: bytes = b"") -> None:
        self.buffer = BytesIO(data)


def test_as_a_program_it_writes_the_samples(monkeypatch: pytest.MonkeyPatch):
    data = encode(tone(48_000, 0.5), KINDS_OF_FFMPEG["mka"])
    out = Standard()
    monkeypatch.setattr(sys, "stdin", Standard(data))
    monkeypatch.setattr(sys, "stdout", out)
    containers.main("60")
    assert out.buffer.getvalue() == read(data).astype("<i2").tobytes()


def test_as_a_program_it_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch):
    out, errors = Standard(), io.StringIO()
    monkeypatch.setattr(sys, "stdin", Standard(b"no sound"))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", errors)
    with pytest.raises(SystemExit) as end:
        containers.main("60")
    assert end.value.code == REFUSED
    assert errors.getvalue().startswith("not a wav, flac, mp3")
    assert out.buffer.getvalue() == b""
