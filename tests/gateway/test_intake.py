"""What comes is counted by messages and by seconds of audio, on a clock of our own."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.errors import LimitReached, TooMany
from realtime.gateway.access.limits import Allowance
from realtime.gateway.access.settings import LimitsConfig
from realtime.gateway.intake import COMPLAIN_S, Intake
from realtime.session.events import AudioReceived, ClearAsked, ItemPut
from realtime.session.items import UserDraft
from realtime.transports.incoming import SMALL

SECOND = AudioReceived(np.zeros(16_000, np.int16))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def intake(clock: Clock, messages: int = 0, **limits: int) -> Intake:
    return Intake(messages, Allowance(LimitsConfig(**limits), clock), clock)


def test_too_many_short_messages_are_too_many(clock):
    taken = intake(clock, 60)
    assert [taken.count(SMALL - 1) for _ in range(60)] == [0.0] * 60
    with pytest.raises(TooMany, match="may send 60 messages per minute"):
        taken.count(SMALL - 1)
    clock.now += 1
    assert taken.count() == 0.0


def test_too_many_long_ones_wait_and_leave_a_tenth_to_the_short(clock):
    taken = intake(clock, 60)
    assert [taken.count(SMALL) for _ in range(54)] == [0.0] * 54
    assert taken.count(SMALL) == pytest.approx(1.0)
    for _ in range(5):
        taken.count()
    with pytest.raises(TooMany):
        taken.count()


def test_without_a_limit_nothing_waits(clock):
    taken = intake(clock)
    assert [taken.count(size) for size in (0, SMALL) for _ in range(500)] == [0.0] * 1_000


def test_audio_is_heard_while_the_key_has_some_left(clock):
    taken = intake(clock, audio_seconds_per_minute=2)
    assert [taken.hears(SECOND) for _ in range(3)] == [True, True, False]
    assert taken.hears(ClearAsked()), "what is no audio costs none"
    clock.now += 30
    assert taken.hears(SECOND)


def test_without_a_limit_all_audio_is_heard(clock):
    taken = intake(clock)
    assert all(taken.hears(SECOND) for _ in range(1_000))


def test_a_stream_that_is_not_heard_is_complained_of_once_a_second(clock):
    taken = intake(clock, audio_seconds_per_minute=1)
    told = taken.complaint(SECOND)
    assert told.code == LimitReached.code
    assert "1 s of audio per minute" in told.message
    assert taken.complaint(SECOND) is None
    clock.now += COMPLAIN_S
    assert taken.complaint(SECOND) is not None


def test_an_item_that_is_not_heard_is_complained_of_each_time(clock):
    taken = intake(clock, audio_seconds_per_minute=1)
    item = ItemPut(UserDraft(None, (np.zeros(32_000, np.int16),)))
    assert not taken.hears(item)
    assert [taken.complaint(item) is not None for _ in range(3)] == [True] * 3
