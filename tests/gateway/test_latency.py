"""How long answers take is measured from when they are due, by a clock of our own."""

from __future__ import annotations

import pytest

from realtime.gateway.latency import Latency
from realtime.metrics import Metrics
from realtime.session.events import Final, LimitsLeft, Partial, ResponseOptions, ResponseStarted
from realtime.session.items import Answer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Measured:
    def __init__(self) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.latency = Latency(self.metrics, self.clock)

    def at(self, now: float, notice):
        self.clock.now = now
        return self.latency.timed(notice)

    def value(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
def measured():
    return Measured()


def started(response: str) -> ResponseStarted:
    return ResponseStarted(response, Answer(response, 1), None, ResponseOptions())


def test_the_first_piece_and_the_end_are_told_before_what_the_session_says(
    measured,
):
    assert measured.at(1.0, began := started("a")) is began
    assert measured.at(1.25, first := Partial(1, 0, "Well", "a")) is first
    measured.at(1.5, Partial(1, 1, ".", "a"))
    final = measured.at(2.0, Final(1, "Well.", "stop", ms=(("hangover", 500.0),), response="a"))
    assert final.ms == (("first_token", 250.0), ("total", 1000.0), ("hangover", 500.0))
    assert measured.value("realtime_first_token_seconds_sum") == 0.25
    assert measured.value("realtime_response_seconds_sum") == 1.0
    assert measured.latency.due == {}


def test_an_answer_without_a_piece_took_as_long_to_its_first_as_to_its_end(measured):
    measured.at(1.0, started("a"))
    final = measured.at(3.0, Final(1, "", "stop", response="a"))
    assert final.ms == (("first_token", 2000.0), ("total", 2000.0))
    assert measured.value("realtime_first_token_seconds_count") == 0


def test_an_interrupted_answer_is_told_but_not_counted(measured):
    measured.at(1.0, started("a"))
    final = measured.at(2.0, Final(1, "", "interrupted", response="a"))
    assert dict(final.ms)["total"] == 1000.0
    assert measured.value("realtime_response_seconds_count") == 0


def test_answers_side_by_side_are_measured_by_themselves(measured):
    measured.at(1.0, started("a"))
    measured.at(2.0, started("b"))
    assert dict(measured.at(4.0, Final(1, "", "stop", response="b")).ms)["total"] == 2000.0
    assert dict(measured.at(5.0, Final(1, "", "stop", response="a")).ms)["total"] == 4000.0


def test_what_is_no_answer_passes(measured):
    other = LimitsLeft(())
    assert measured.at(1.0, other) is other
