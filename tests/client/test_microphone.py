"""A recording comes at the pace of a microphone: measured on a clock that jumps."""

from __future__ import annotations

import asyncio
import selectors

import pytest

from client.microphone import Microphone


class JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a time to pass, lets it have passed."""

    now = 100.0

    def select(self, timeout=None):
        self.now += timeout or 0.0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no time."""

    def __init__(self):
        self.selector = JumpingSelector()
        super().__init__(self.selector)

    def time(self):
        return self.selector.now


def run(main):
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


async def arrivals(microphone, pcm, *, work=0.0):
    """Note when each frame came and how long it is; `work` seconds pass after each."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    came = []
    async for frame in microphone.frames(pcm):
        came.append((round(loop.time() - begin, 6), len(frame)))
        loop.selector.now += work
    return came


def test_a_frame_comes_when_it_would_have_been_recorded():
    came = run(arrivals(Microphone(), bytes(640 * 3)))
    assert came == [(0.02, 640), (0.04, 640), (0.06, 640)]


def test_the_last_frame_is_as_short_as_the_recording():
    assert run(arrivals(Microphone(), bytes(640 + 320))) == [(0.02, 640), (0.03, 320)]


@pytest.mark.parametrize(("rate", "width", "frame"), [(8000, 1, 160), (48000, 2, 1920)])
def test_rate_and_width_decide_the_size_of_a_frame(rate, width, frame):
    came = run(arrivals(Microphone(rate=rate, width=width), bytes(frame * 50)))
    assert (came[-1], len(came)) == ((1.0, frame), 50)


def test_speed_is_times_real_time():
    came = run(arrivals(Microphone(speed=4), bytes(32000)))
    assert came[-1] == (0.25, 640)


def test_delays_do_not_add_up():
    came = run(arrivals(Microphone(), bytes(32000), work=0.015))
    assert came[-1] == (1.0, 640)


def test_a_slow_reader_gets_late_frames_at_once():
    came = run(arrivals(Microphone(), bytes(640 * 4), work=0.05))
    assert [at for at, _ in came] == [0.02, 0.07, 0.12, 0.17]


def test_time_between_recordings_is_not_made_up_for():
    async def main():
        microphone = Microphone()
        await arrivals(microphone, bytes(6400))
        await asyncio.sleep(60)
        return await arrivals(microphone, bytes(640 * 2))

    assert run(main()) == [(0.02, 640), (0.04, 640)]


def test_silence_goes_on_in_the_same_pace():
    async def main():
        microphone = Microphone()
        begin = asyncio.get_running_loop().time()
        heard = [frame async for frame in microphone.frames(b"\x01" * 640)]
        heard += [frame async for frame in microphone.quiet(100)]
        return b"".join(heard), asyncio.get_running_loop().time() - begin

    pcm, seconds = run(main())
    assert pcm == b"\x01" * 640 + bytes(640 * 5)
    assert seconds == pytest.approx(0.12)


def test_no_recording_gives_no_frame():
    assert run(arrivals(Microphone(), b"")) == []


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_that_is_none_is_refused(speed):
    with pytest.raises(ValueError, match="speed"):
        Microphone(speed=speed)
