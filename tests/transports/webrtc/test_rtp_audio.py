"""Opus packets become audio whose positions are those of the sender's clock."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opus_packets import TICKS, encode, tone

from realtime.audio.pcm import Pcm
from realtime.audio.resample import LATENCY
from realtime.transports.webrtc.jitter import Packet
from realtime.transports.webrtc.rtp_audio import (
    CREDIT,
    MOST_CREDIT,
    MOST_MUTE,
    MUTE_S,
    RtpAudio,
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


PAYLOADS = encode(tone(100))


def packet(number: int, *, jump: int = 0, source: int = 1) -> Packet:
    return Packet(source, 1000 + number, (jump + number * TICKS) % (1 << 32), PAYLOADS[number])


def hear(packets: list[Packet], *, clock: Clock | None = None) -> Pcm:
    """Hear packets, each at its time."""
    clock = clock or Clock()
    audio = RtpAudio(clock)
    pieces = []
    began = clock.now
    for heard in packets:
        clock.now = began + (heard.sequence - 1000) * 0.0201
        pieces.append(audio.push(heard))
    return np.concatenate([*pieces, audio.resampler.flush()])


def test_every_packet_is_20_ms():
    assert hear([packet(n) for n in range(100)]).size == 100 * 320


def test_a_tone_stays_that_tone():
    heard = hear([packet(n) for n in range(100)])[3200:-3200].astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
    assert abs(spectrum.argmax() * 16_000 / heard.size - 500) < 1
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.1)


def test_what_is_not_there_yet_is_only_what_the_resampler_holds():
    audio = RtpAudio(Clock())
    size = sum(audio.push(packet(n)).size for n in range(50))
    assert 50 * 320 - LATENCY[48_000] <= size <= 50 * 320


@given(st.integers(0, 2**32), st.floats(0, 0.5))
def test_positions_do_not_drift_however_much_is_lost(seed, loss):
    dice = random.Random(seed)
    arrived = [n for n in range(100) if n == 0 or n >= 95 or dice.random() >= loss]
    assert hear([packet(n) for n in arrived]).size == 100 * 320


def test_lost_packets_become_silence_of_their_length():
    whole = hear([packet(n) for n in range(60)])
    holed = hear([packet(n) for n in range(60) if not 20 <= n < 30])
    assert holed.size == whole.size
    assert np.abs(holed[20 * 320 + 200 : 30 * 320 - 200].astype(int)).max() < 50
    assert np.abs(holed[: 19 * 320].astype(int) - whole[: 19 * 320]).max() < 50


def test_a_sender_that_was_silent_by_its_timestamps_was_silent():
    pause = 25 * TICKS  # half a second without a packet, as discontinuous transmission does it
    packets = [packet(n) for n in range(10)] + [packet(n, jump=pause) for n in range(10, 20)]
    assert hear(packets).size == (20 + 25) * 320


def test_an_outage_is_as_long_as_it_was():
    clock = Clock()
    audio = RtpAudio(clock)
    size = sum(audio.push(packet(n)).size for n in range(10))
    clock.now += 5.0
    size += sum(audio.push(packet(n, jump=250 * TICKS)).size for n in range(10, 20))
    assert size + audio.resampler.flush().size == (20 + 250) * 320


@pytest.mark.parametrize("jump", [CREDIT + 48_000, MOST_CREDIT * 2, -48_000, 1 << 31])
def test_a_clock_that_jumps_is_no_silence(jump):
    packets = [packet(n) for n in range(10)] + [packet(n, jump=jump) for n in range(10, 20)]
    assert hear(packets).size == 20 * 320


def test_timestamps_that_run_ahead_make_no_more_silence_than_time_has_passed():
    clock = Clock()
    audio = RtpAudio(clock)
    size = 0
    for number in range(100):  # two seconds, in which the timestamps claim a minute and more
        size += audio.push(packet(number, jump=number * 40_000)).size
        clock.now += 0.02
    assert size < (CREDIT / 48_000 + 2 + 2 + 1) * 16_000


def test_another_source_goes_on_where_the_first_was():
    packets = [packet(n) for n in range(10)]
    packets += [packet(n, source=2, jump=5_000_000) for n in range(10, 20)]
    assert hear(packets).size == 20 * 320


def test_a_sender_that_stops_is_silent_after_a_while_but_not_for_ever():
    clock = Clock()
    audio = RtpAudio(clock)
    assert audio.rest().size == 0  # it has not begun
    for number in (*range(10), 11):  # 10 is lost, and 11 waits for it
        audio.push(packet(number))
    clock.now += MUTE_S - 1
    assert audio.rest().size == 0  # it may be late
    clock.now += 1
    rests = []
    for _ in range(20):
        rests.append(audio.rest().size)
        clock.now += 1
    seconds = MOST_MUTE // 48_000
    held = LATENCY[48_000] + 2 * 320
    assert all(rests[:seconds])
    assert seconds * 16_000 <= sum(rests) <= seconds * 16_000 + held
    assert not any(rests[seconds:])


def test_the_silence_of_a_mute_sender_is_part_of_its_pause():
    clock = Clock()
    audio = RtpAudio(clock)
    size = sum(audio.push(packet(n)).size for n in range(10))
    clock.now += 4.0
    size += audio.rest().size
    clock.now += 1.0
    size += audio.rest().size
    pause = 250 * TICKS
    size += sum(audio.push(packet(n, jump=pause)).size for n in range(10, 20))
    assert size + audio.resampler.flush().size == (20 + 250) * 320


def test_timestamps_may_wrap():
    jump = (1 << 32) - 5 * TICKS
    assert hear([packet(n, jump=jump) for n in range(20) if n != 4]).size == 20 * 320


def test_rubbish_between_packets_is_silence_and_the_rest_is_heard():
    packets = [packet(n) for n in range(30)]
    packets[10] = Packet(1, 1010, 10 * TICKS, b"\xff" * 20)
    assert hear(packets).size == 30 * 320
