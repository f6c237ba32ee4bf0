"""A minute's worth at once, and no more than fills up again, on a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.transports.bucket import Bucket


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_minutes_worth_may_be_taken_at_once_and_comes_back_evenly(clock):
    bucket = Bucket(60, clock)
    assert bucket.take(60)
    assert not bucket.take(1)
    assert bucket.wait(2) == 2.0
    clock.now += 1.5
    assert bucket.fill() == 1.5
    assert bucket.take(1)
    assert not bucket.take(1)
    clock.now += 3_600
    assert bucket.fill() == 60


def test_what_cannot_be_had_whole_is_not_begun(clock):
    bucket = Bucket(60, clock)
    assert not bucket.take(61)
    assert bucket.fill() == 60


def test_no_limit_is_none_whatever_is_taken(clock):
    bucket = Bucket(0, clock)
    assert bucket.take(1e9)
    assert bucket.owe(1e9, leaving=5) == 0.0
    assert bucket.wait(1e9) == 0.0


def test_what_cannot_be_refused_is_paid_by_waiting(clock):
    bucket = Bucket(60, clock)
    assert bucket.owe(50, leaving=6) == 0.0
    assert bucket.owe(10, leaving=6) == 6.0
    assert bucket.owe(10) == 10.0, "what is owed counts"
    clock.now += 16
    assert bucket.owe(0, leaving=6) == 0.0
    assert bucket.take(6)


def test_what_is_given_back_is_there_again(clock):
    bucket = Bucket(60, clock)
    bucket.take(60)
    bucket.owe(-1)
    assert bucket.take(1)


def test_another_limit_keeps_what_was_used_and_a_first_one_begins_full(clock):
    bucket = Bucket(60, clock)
    bucket.take(50)
    bucket.resize(30)
    assert bucket.fill() == 10
    bucket.resize(5)
    assert bucket.fill() == 5
    unlimited = Bucket(0, clock)
    unlimited.take(100)
    unlimited.resize(7)
    assert unlimited.fill() == 7


def test_a_wait_is_never_for_more_than_it_holds(clock):
    bucket = Bucket(60, clock)
    bucket.take(60)
    assert bucket.wait(1_000) == 60.0


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 20)), max_size=40))
def test_never_more_than_a_minutes_worth_and_what_came_since(steps):
    clock, taken = Clock(), 0.0
    bucket = Bucket(10, clock)
    start = clock.now
    for wait, amount in steps:
        clock.now += wait
        before = bucket.level
        if bucket.take(amount):
            taken += amount
        else:
            assert bucket.level >= before
            assert bucket.wait(amount) >= 0
        assert taken <= 10 + (clock.now - start) * 10 / 60 + 1e-6
