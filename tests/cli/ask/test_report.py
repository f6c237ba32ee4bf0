"""What is printed of a dialogue: answers to stdout, everything else to stderr."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from client.dialogue import Answer, Exchange, Question
from client.events import Error, Final, Partial, Ready
from realtime.cli.ask.report import NO_SPEECH, Report

SPOKEN = Question("a.wav", bytes(3200))
READY = Ready(session="s", resume="r", model="a-model", rate=16000)


def answer(text: str = "Paris.", finish: str = "stop", **more) -> Answer:
    fields = {"first_partial_ms": 20.04, "writing_ms": 10.0, "hangover_ms": None} | more
    return Answer("a.wav", 1, text, finish, {"first_token": 5.0}, **fields)


def report(*, as_json: bool = False) -> Report:
    made = Report(Console(file=StringIO(), width=200), as_json=as_json)
    made.begin(SPOKEN)
    return made


def exchange(*answers: Answer, heard: bool = True, error: Error | None = None) -> Exchange:
    return Exchange("a.wav", heard=heard, answers=list(answers), error=error)


def shown(made: Report) -> str:
    return made.console.file.getvalue()


def test_an_answer_is_one_line_and_what_it_took_is_beside(capsys):
    made = report()
    made.tell(READY)
    made.tell(answer("Two\nlines\x1b[2J.", hangover_ms=5.0))
    made.end(exchange(answer()))
    assert capsys.readouterr().out == "Two lines[2J.\n"
    assert shown(made).splitlines() == [
        "a.wav",
        "connected: a-model",
        "  first partial 20 ms after the end of speech (5 ms of it waiting for more speech), "
        "complete 10 ms later, 1400 characters/s",
    ]
    assert made.complete


def test_an_interrupted_answer_is_no_line_and_does_not_complete(capsys):
    made = report()
    made.tell(answer("One, t", "interrupted"))
    made.end(exchange(answer("One, t", "interrupted")))
    assert capsys.readouterr().out == ""
    assert not made.complete


def test_json_has_the_file_and_both_kinds_of_times(capsys):
    made = report(as_json=True)
    made.tell(answer())
    assert json.loads(capsys.readouterr().out) == {
        "file": "a.wav",
        "turn": 1,
        "text": "Paris.",
        "finish": "stop",
        "interrupted": False,
        "ms": {"first_token": 5.0, "first_partial": 20.0, "writing": 10.0},
    }


def test_json_tells_of_a_question_without_an_answer_too(capsys):
    made = report(as_json=True)
    made.end(exchange(error=Error("audio_too_short", "There is no audio.")))
    line = json.loads(capsys.readouterr().out)
    assert (line["turn"], line["error"]["code"]) == (None, "audio_too_short")
    assert not made.complete


def test_pieces_are_shown_as_they_come():
    made = report()
    made.tell(Partial(turn=1, seq=0, delta="Par"))
    made.tell(Partial(turn=1, seq=1, delta="is."))
    made.tell(Final(turn=1, text="Paris.", finish="stop", ms={}))
    assert "  Paris.\n" in shown(made)


@pytest.mark.parametrize(
    ("question", "heard", "told"),
    [
        (SPOKEN, False, True),
        (SPOKEN, True, False),
        (Question("a.wav", bytes(3200), "What's that sound?"), False, False),
        (Question("text", text="Hi"), False, False),
    ],
)
def test_a_sound_without_speech_is_told_how_to_ask_about_it(question, heard, told):
    made = report()
    made.begin(question)
    made.end(exchange(answer(), heard=heard))
    assert (NO_SPEECH in shown(made)) is told


def test_at_the_end_of_several_answers_stands_how_long_they_took():
    made = report()
    for _ in range(2):
        made.tell(answer())
    made.close()
    assert shown(made).splitlines()[-1].startswith("2 answers: first partial after 20 ms (median)")
