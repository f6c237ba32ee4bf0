"""What is parked stays until its time is over or others need the room, the oldest first."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realtime.session.conversation import Conversation
from realtime.session.parked import Bounds, Parked, bytes_of

WIDE = Bounds(conversations=1_000, bytes=1 << 30, seconds=1e9)


def spoken(seconds: float) -> Conversation:
    """Make a conversation with so much audio, and some words."""
    conversation = Conversation("c")
    conversation.add_user((conversation.clip(np.zeros(int(seconds * 16_000), np.int16)), "Hm?"))
    return conversation


def parked(*seconds: float) -> Parked:
    """Park conversations called a, b, ..., one a second."""
    parked = Parked()
    for at, length in enumerate(seconds):
        parked.park(b"abcdef"[at : at + 1], spoken(length), float(at))
    return parked


def test_audio_is_what_a_conversation_weighs():
    assert bytes_of(Conversation("c")) == 0
    assert bytes_of(spoken(1.5)) == 48_000


def test_nothing_goes_while_there_is_room_and_time():
    assert list(parked(1, 1).expire(5.0, WIDE)) == []


def test_a_conversation_goes_the_moment_that_its_time_is_over():
    left = parked(1, 1)
    bounds = Bounds(conversations=9, bytes=1 << 30, seconds=10)
    assert list(left.expire(9.99, bounds)) == []
    assert list(left.expire(10.0, bounds)) == [b"a"]
    assert (len(left), left.bytes) == (1, 32_000)
    assert list(left.expire(99.0, bounds)) == [b"b"]
    assert (len(left), left.bytes) == (0, 0)


def test_beyond_their_number_the_oldest_go():
    left = parked(0, 0, 0, 0)
    bounds = Bounds(conversations=2, bytes=0, seconds=1e9)
    assert list(left.expire(4.0, bounds)) == [b"a", b"b"]


def test_beyond_their_bytes_the_oldest_go_and_a_full_house_stays():
    left = parked(1, 1, 1)
    assert list(left.expire(3.0, Bounds(9, 96_000, 1e9))) == []
    assert list(left.expire(3.0, Bounds(9, 95_999, 1e9))) == [b"a"]
    assert left.bytes == 64_000


def test_what_is_taken_up_is_not_counted_and_does_not_go():
    left = parked(1, 2)
    left.take_up(b"a")
    left.take_up(b"a")
    left.take_up(b"unknown")
    assert (len(left), left.bytes) == (1, 64_000)
    assert list(left.expire(1e12, WIDE)) == [b"b"]


def test_what_is_left_again_is_the_youngest():
    left = parked(1, 1)
    left.park(b"a", spoken(2), 2.0)
    assert left.bytes == 96_000
    assert list(left.expire(3.0, Bounds(1, 1 << 30, 1e9))) == [b"b"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["park", "take", "expire"]))))
def test_the_bytes_are_those_of_what_is_there(steps):
    left = Parked()
    bounds = Bounds(conversations=2, bytes=100_000, seconds=5)
    for now, (name, step) in enumerate(steps):
        if step == "park":
            left.park(name.encode(), spoken(1), float(now))
        elif step == "take":
            left.take_up(name.encode())
        else:
            list(left.expire(float(now), bounds))
            assert len(left) <= 2
        assert left.bytes == 32_000 * len(left)
