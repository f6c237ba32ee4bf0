"""What one who finds no room is told to wait follows what answers took lately."""

from __future__ import annotations

import pytest

from realtime.engine.worker.retry_after import LEAST, MOST, RetryAfter


def test_before_the_first_answer_ends_it_is_a_guess():
    assert RetryAfter(1.5).seconds == 1.5


def test_it_is_the_time_that_an_answer_takes_over_how_many_there_are():
    retry_after = RetryAfter(1.0)
    for _ in range(50):
        retry_after.ended(8.0, 16)
    assert retry_after.seconds == pytest.approx(0.5)


def test_it_follows_what_answers_take_now():
    retry_after = RetryAfter(1.0)
    retry_after.ended(4.0, 1)
    waits = []
    for _ in range(20):
        retry_after.ended(20.0, 2)
        waits.append(retry_after.seconds)
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(10.0, rel=0.02)


def test_it_has_bounds():
    retry_after = RetryAfter(1.0)
    retry_after.ended(1e-6, 8)
    assert retry_after.seconds == LEAST
    for _ in range(50):
        retry_after.ended(1e6, 1)
    assert retry_after.seconds == MOST
