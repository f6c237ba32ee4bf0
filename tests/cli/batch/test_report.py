"""What a person sees of a batch."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from realtime.cli.batch.report import Report, passes_tenth
from realtime.cli.batch.results import Answer, Answered, Error, Failed

GOOD = Answered("a", 1, [Answer("Hi", "stop", 5, 0, 7)])


def report(**console) -> tuple[Report, StringIO]:
    out = StringIO()
    return Report(Console(file=out, width=100, **console)), out


def test_without_a_terminal_each_tenth_is_a_line():
    told, out = report()
    with told.answering(40) as tell:
        for _ in range(40):
            tell(GOOD)
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("realtime batch: 4 of 40,")
    assert "tokens/s" in lines[-1]
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_a_bar_with_rate_and_time_left():
    told, out = report(force_terminal=True)
    with told.answering(4) as tell:
        tell(GOOD)
        tell(GOOD)
    assert "2/4" in out.getvalue()
    assert "tokens/s" in out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_failure_is_told_at_once_on_one_line_without_control_characters(terminal):
    told, out = report(force_terminal=terminal)
    with told.answering(100) as tell:
        tell(Failed(None, 7, Error("bad_audio", "a\x1b[2Jb [red]c\nis\rbroken")))
    assert "realtime batch: line 7: a[2Jb [red]c isbroken (bad_audio)" in out.getvalue()


def test_the_last_line_counts_everything():
    told, _ = report()
    for record in (GOOD, GOOD, Failed("x", 2, Error("busy", "full"))):
        told.count(record)
    assert told.summary(5).startswith("2 answered, 1 failed, 5 answered before in ")
    assert "tokens/s" in told.summary(0)
    assert report()[0].summary(0).startswith("0 answered in ")


def test_ten_tenths_pass_at_most():
    for total in (1, 3, 10, 99, 1000):
        assert 1 <= sum(passes_tenth(done, total) for done in range(1, total + 1)) <= 10
