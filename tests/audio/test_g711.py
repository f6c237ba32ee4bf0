"""G.711 tables against ffmpeg, the standard library and the standard's own tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType

import av
import numpy as np
import pytest

from realtime.audio.g711 import (
    ALAW_TO_PCM,
    MULAW_TO_PCM,
    PCM_TO_ALAW,
    PCM_TO_MULAW,
    decode_alaw,
    decode_mulaw,
    encode_alaw,
    encode_mulaw,
)
from realtime.audio.pcm import Pcm

CODES = bytes(range(256))
SAMPLES = np.arange(-32768, 32768).astype(np.int16)

LAWS = [
    pytest.param("pcm_mulaw", decode_mulaw, encode_mulaw, id="mulaw"),
    pytest.param("pcm_alaw", decode_alaw, encode_alaw, id="alaw"),
]
Decode = Callable[[bytes], Pcm]
Encode = Callable[[Pcm], bytes]


def ffmpeg_decode(name: str, data: bytes) -> Pcm:
    decoder = av.CodecContext.create(name, "r")
    decoder.sample_rate, decoder.layout = 8000, "mono"
    frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


def ffmpeg_encode(name: str, samples: Pcm) -> bytes:
    encoder = av.CodecContext.create(name, "w")
    encoder.sample_rate, encoder.layout, encoder.format = 8000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = 8000
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def stdlib() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("audioop", reason="audioop left the library in Python 3.13")


@pytest.mark.parametrize(("name", "decode", "encode"), LAWS)
def test_every_code_expands_as_in_ffmpeg(name: str, decode: Decode, encode: Encode):
    assert np.array_equal(decode(CODES), ffmpeg_decode(name, CODES))


def test_every_code_expands_as_in_the_standard_library():
    audioop = stdlib()
    assert decode_mulaw(CODES).tobytes() == audioop.ulaw2lin(CODES, 2)
    assert decode_alaw(CODES).tobytes() == audioop.alaw2lin(CODES, 2)


def test_the_ends_of_the_standards_tables():
    """G.711 tables 1a, 2a (positive half, values y at 13 and 14 bits) as printed."""
    mulaw = {0x80: 8031, 0x8F: 4191, 0x9F: 2079, 0xBF: 495, 0xEF: 33, 0xFE: 2, 0xFF: 0}
    alaw = {0b11111111: 4032, 0b11110000: 2112, 0b10000000: 1, 0b10001111: 31, 0b10010000: 33}
    for code, value in mulaw.items():
        assert MULAW_TO_PCM[code] == value * 4
        assert MULAW_TO_PCM[code & 0x7F] == -value * 4
    for code, value in alaw.items():  # table 1a lists codes before the even bits are inverted
        assert ALAW_TO_PCM[code ^ 0x55] == value * 8
        assert ALAW_TO_PCM[code & 0x7F ^ 0x55] == -value * 8


@pytest.mark.parametrize(("name", "decode", "encode"), LAWS)
def test_every_sample_compresses_as_in_ffmpeg_but_for_decision_values(
    name: str, decode: Decode, encode: Encode
):
    """ffmpeg decides half way between values and on a coarse grid; the standard's values differ.

    Where the two disagree the codes are neighbours and the sample lies about between them.
    """
    ours, theirs = decode(encode(SAMPLES)), decode(ffmpeg_encode(name, SAMPLES))
    apart = ours != theirs
    assert apart.mean() < 0.015
    low, high = np.minimum(ours, theirs)[apart], np.maximum(ours, theirs)[apart]
    steps = np.unique(decode(CODES))
    assert np.array_equal(np.searchsorted(steps, low) + 1, np.searchsorted(steps, high))
    assert (low <= SAMPLES[apart]).all()
    assert (SAMPLES[apart] <= high).all()


def test_every_sample_compresses_as_in_the_standard_library():
    audioop = stdlib()
    assert encode_alaw(SAMPLES) == audioop.lin2alaw(SAMPLES.tobytes(), 2)
    positive = SAMPLES[SAMPLES >= 0]
    assert encode_mulaw(positive) == audioop.lin2ulaw(positive.tobytes(), 2)


def test_mulaw_treats_both_signs_alike():
    """As ITU-T G.191 does: -1 - x gets the code of x with the sign turned."""
    positive = SAMPLES[SAMPLES >= 0]
    mirrored = np.frombuffer(encode_mulaw(-1 - positive), np.uint8) | 0x80
    assert mirrored.tobytes() == encode_mulaw(positive)


@pytest.mark.parametrize(("name", "decode", "encode"), LAWS)
def test_compression_is_off_by_at_most_half_a_step(name: str, decode: Decode, encode: Encode):
    """Within a segment; where two segments meet, the standard decides at the finer one's end."""
    values = decode(encode(SAMPLES)).astype(int)
    off = np.abs(values - SAMPLES)
    assert (np.diff(values) >= 0).all()
    assert (off <= 16 + np.abs(SAMPLES.astype(int)) // 32).sum() >= 65_536 - 2 * 644  # clipping
    assert off.max() <= 644


@pytest.mark.parametrize(("name", "decode", "encode"), LAWS)
def test_codes_survive_the_way_there_and_back(name: str, decode: Decode, encode: Encode):
    back = encode(decode(CODES))
    expected = CODES.replace(b"\x7f", b"\xff") if name == "pcm_mulaw" else CODES
    assert back == expected  # mu-law alone has a negative zero, 0x7F


@pytest.mark.parametrize(("name", "decode", "encode"), LAWS)
def test_nothing_is_nothing(name: str, decode: Decode, encode: Encode):
    assert decode(b"").size == 0
    assert encode(np.empty(0, np.int16)) == b""


def test_the_tables_hold_every_code_and_every_sample_and_nothing_else():
    assert (MULAW_TO_PCM.shape, ALAW_TO_PCM.shape) == ((256,), (256,))
    assert (PCM_TO_MULAW.shape, PCM_TO_ALAW.shape) == ((65_536,), (65_536,))
