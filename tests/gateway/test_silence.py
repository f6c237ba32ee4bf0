"""A silent peer is asked, then left; one that shows itself or waits for an answer stays."""

from __future__ import annotations

import pytest

from realtime.gateway.silence import Look, Silence


@pytest.fixture
def silence():
    return Silence(idle_s=120.0, grace_s=30.0, now=1_000.0)


def test_the_next_look_is_when_the_time_is_over(silence):
    assert silence.look(1_000.0, busy=False) == Look(120.0)
    silence.heard(1_050.0)
    assert silence.look(1_100.0, busy=False) == Look(70.0)


def test_who_says_nothing_is_asked_once_and_then_left(silence):
    look = silence.look(1_120.0, busy=False)
    assert look.again_in == 30.0
    assert look.question == "Nothing came for 120 s; without a sign the connection is closed."
    assert silence.look(1_150.0, busy=False) is None


def test_any_sign_after_the_question_is_enough(silence):
    silence.look(1_120.0, busy=False)
    silence.heard(1_121.0)
    assert silence.look(1_150.0, busy=False) == Look(91.0)
    assert silence.look(1_241.0, busy=False).question


def test_who_waits_for_an_answer_may_be_silent(silence):
    assert silence.look(5_000.0, busy=True) == Look(120.0)
    assert silence.look(5_120.0, busy=False).question


def test_an_older_sign_takes_nothing_back(silence):
    silence.heard(1_100.0)
    silence.heard(1_050.0)
    assert silence.heard_at == 1_100.0
