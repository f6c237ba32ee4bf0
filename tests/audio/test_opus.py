"""Opus packets are what was said, and whatever else comes is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opus_packets import TICKS, encode, tone

from realtime.audio.opus import RATE, OpusDecoder

PACKETS = encode(tone(50))


def decode(packets: list[bytes]) -> np.ndarray:
    decoder = OpusDecoder()
    return np.concatenate([decoder.decode(packet) for packet in packets])


def pitch(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples * np.hanning(samples.size))).argmax()) * (
        RATE / samples.size
    )


def test_every_packet_has_its_own_length():
    decoder = OpusDecoder()
    assert {decoder.decode(packet).size for packet in PACKETS} == {TICKS}
    assert decoder.decode(PACKETS[0]).dtype == np.int16


def test_a_tone_stays_that_tone():
    heard = decode(PACKETS)[10 * TICKS :].astype(float)
    assert pitch(heard) == pytest.approx(500, abs=1)
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.1)


def test_two_channels_are_mixed_to_one():
    sound = tone(50)
    packets = encode(np.stack([sound, np.zeros_like(sound)], axis=1).reshape(-1), "stereo")
    heard = decode(packets)
    assert heard.size == len(packets) * TICKS
    assert pitch(heard[10 * TICKS :].astype(float)) == pytest.approx(500, abs=1)
    assert np.abs(heard[10 * TICKS :]).max() == pytest.approx(4000, rel=0.1)


@pytest.mark.parametrize("rubbish", [b"", b"\xff" * 20, b"\xff"])
def test_rubbish_is_nothing_and_the_stream_goes_on(rubbish):
    decoder = OpusDecoder()
    decoder.decode(PACKETS[0])
    assert decoder.decode(rubbish).size == 0
    assert decoder.decode(PACKETS[1]).size == TICKS


def test_opus_is_decoded_to_48_khz_of_one_channel():
    context = OpusDecoder().context
    assert (context.sample_rate, context.layout.name, context.format.name) == (
        48_000,
        "mono",
        "s16",
    )


@given(st.binary(max_size=200))
def test_whatever_comes_as_opus_is_at_most_120_ms_of_audio(data):
    assert OpusDecoder().decode(data).size <= 5760
