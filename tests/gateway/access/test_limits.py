"""What one key may have, on a clock of our own."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.errors import LimitReached
from realtime.gateway.access.limits import Allowance, Allowances, seconds_of
from realtime.gateway.access.settings import LimitsConfig
from realtime.session.events import (
    AudioReceived,
    ClearAsked,
    ItemPut,
    ItemsResponseAsked,
    Limit,
    ResponseOptions,
)
from realtime.session.items import Reference, SystemDraft, UserDraft


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_without_limits_everything_may_be_had_and_nothing_is_told(clock):
    allowance = Allowance(LimitsConfig(), clock)
    for _ in range(1_000):
        allowance.enter()
        allowance.take_response()
        assert allowance.take_audio(1_000)
    assert allowance.limits() == ()


def test_answers_per_minute(clock):
    allowance = Allowance(LimitsConfig(responses_per_minute=2), clock)
    allowance.take_response()
    allowance.take_response()
    with pytest.raises(
        LimitReached, match=r"2 answers per minute; the next one in 30\.0 s"
    ) as caught:
        allowance.take_response()
    assert caught.value.retry_after == pytest.approx(30)
    assert allowance.limits() == (Limit("requests", 2, 0, pytest.approx(60)),)
    clock.now += 30
    allowance.take_response()
    clock.now += 3_600
    assert allowance.limits() == (Limit("requests", 2, 2, 0),), "no more than a minute's worth"


def test_a_session_that_was_not_opened_after_all_costs_nothing(clock):
    allowance = Allowance(LimitsConfig(sessions=1, sessions_per_minute=2), clock)
    for _ in range(10):
        allowance.enter()
        allowance.give_back()
    allowance.enter()
    assert allowance.sessions == 1


def test_a_speculation_costs_nothing_until_it_is_wanted(clock):
    allowance = Allowance(LimitsConfig(responses_per_minute=1), clock)
    for _ in range(5):
        allowance.check_response()
    allowance.take_response()
    with pytest.raises(LimitReached):
        allowance.check_response()
    allowance.confirm_response()  # begun before, wanted after: it is paid by waiting
    clock.now += 60
    with pytest.raises(LimitReached):
        allowance.check_response()
    clock.now += 60
    allowance.check_response()


def test_audio_per_minute_is_told_in_tokens(clock):
    allowance = Allowance(LimitsConfig(audio_seconds_per_minute=60), clock)
    assert allowance.take_audio(60)
    assert not allowance.take_audio(1)
    assert "not heard for 1.0 s more" in allowance.no_more_audio(1)
    clock.now += 10
    assert allowance.take_audio(4)
    assert allowance.limits() == (Limit("tokens", 1_500, 150, pytest.approx(54)),)
    assert not allowance.take_audio(61)
    assert "these 61.0 s at once are not heard" in allowance.no_more_audio(61)


def test_sessions_at_once(clock):
    allowance = Allowance(LimitsConfig(sessions=2), clock)
    allowance.enter()
    allowance.enter()
    with pytest.raises(LimitReached, match="All 2 sessions of this key are open"):
        allowance.enter()
    allowance.enter(replaces=True)
    with pytest.raises(LimitReached):
        allowance.enter(replaces=True)
    allowance.leave()
    allowance.leave()
    allowance.enter()


def test_sessions_per_minute(clock):
    allowance = Allowance(LimitsConfig(sessions_per_minute=3), clock)
    for _ in range(3):
        allowance.enter()
        allowance.leave()
    with pytest.raises(LimitReached, match="open 3 sessions per minute") as caught:
        allowance.enter()
    assert caught.value.retry_after == pytest.approx(20)
    assert allowance.sessions == 0


def test_keys_do_not_share(clock):
    allowances = Allowances(LimitsConfig(responses_per_minute=1), clock)
    allowances.of("a").take_response()
    allowances.of("b").take_response()
    with pytest.raises(LimitReached):
        allowances.of("a").take_response()


def second(seconds: float = 1.0) -> np.ndarray:
    return np.zeros(round(16_000 * seconds), np.int16)


@pytest.mark.parametrize(
    ("event", "seconds"),
    [
        (AudioReceived(second(0.02)), 0.02),
        (ItemPut(UserDraft(None, (second(), "and", second(2)))), 3.0),
        (ItemPut(SystemDraft(None, "x")), 0.0),
        (ClearAsked(), 0.0),
        (ItemsResponseAsked(ResponseOptions()), 0.0),
        (
            ItemsResponseAsked(
                ResponseOptions(input=(Reference("i"), UserDraft(None, (second(),))))
            ),
            1.0,
        ),
    ],
)
def test_audio_is_counted_however_it_comes(event, seconds):
    assert seconds_of(event) == pytest.approx(seconds)


def test_short_lived_keys_per_minute(clock):
    allowance = Allowance(LimitsConfig(mints_per_minute=2), clock)
    allowance.take_mint()
    allowance.take_mint()
    with pytest.raises(LimitReached, match="2 short-lived keys per minute") as caught:
        allowance.take_mint()
    assert caught.value.retry_after == pytest.approx(30)
    clock.now += 30
    allowance.take_mint()


def test_other_limits_hold_for_keys_in_use_and_what_was_used_stays_used(clock):
    allowances = Allowances(LimitsConfig(responses_per_minute=10), clock)
    used = allowances.of("used")
    for _ in range(9):
        used.take_response()
    allowances.reload(LimitsConfig(responses_per_minute=5, sessions=1, mints_per_minute=1))
    used.take_response()
    with pytest.raises(LimitReached):
        used.take_response()
    used.enter()
    with pytest.raises(LimitReached):
        used.enter()
    used.take_mint()
    for _ in range(5):
        allowances.of("new").take_response()
    with pytest.raises(LimitReached):
        allowances.of("new").take_response()
    allowances.reload(LimitsConfig())
    used.take_response()
    allowances.reload(LimitsConfig(responses_per_minute=2))
    used.take_response()
    used.take_response()
    with pytest.raises(LimitReached):
        used.take_response()
