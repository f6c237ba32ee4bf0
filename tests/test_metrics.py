"""The numbers: what is counted of what a peer is told, and that gateways do not share them."""

from __future__ import annotations

from realtime.metrics import Metrics
from realtime.session.events import Cleared, Final, Partial, SpeechStopped, Trouble


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_notices_are_counted_by_what_they_are():
    metrics = Metrics()
    for notice in (
        SpeechStopped(0, 0),
        Final(1, "Yes.", "stop"),
        Final(2, "No", "interrupted"),
        Final(3, "Well", "interrupted"),
        Trouble("busy", "Later."),
        Partial(1, 0, "a user's secret"),
        Cleared(),
    ):
        metrics.note(notice)
    assert value(metrics, "realtime_utterances_total") == 1
    assert value(metrics, "realtime_responses_total", finish="stop") == 1
    assert value(metrics, "realtime_responses_total", finish="interrupted") == 2
    assert value(metrics, "realtime_errors_total", code="busy") == 1


def test_nothing_that_users_say_or_hear_is_in_the_numbers():
    metrics = Metrics()
    metrics.note(Final(1, "a user's secret", "stop"))
    metrics.note(Trouble("bad_message", "a user's secret"))
    page, kind = metrics.text()
    assert b"secret" not in page
    assert kind.startswith("text/plain")


def test_two_gateways_count_apart():
    one, other = Metrics(), Metrics()
    one.barge_ins.inc()
    assert value(one, "realtime_barge_ins_total") == 1
    assert value(other, "realtime_barge_ins_total") == 0
