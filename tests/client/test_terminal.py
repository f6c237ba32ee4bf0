"""What a dialogue looks like: in a pipe, and on a terminal as an emulator would show it."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from client import Answer, Error, Final, Partial, Pong, SpeechStarted, SpeechStopped
from client.terminal import Page, Stage, one_line, screen, summary, took, visible

SPOKEN = [
    SpeechStarted(0),
    SpeechStopped(900, 900),
    Partial(1, 0, "It is"),
    Partial(1, 1, " [bold]7[/].\x1b[2J"),
    Final(1, "It is [bold]7[/].\x1b[2J", "stop"),
    Pong(),
]


def written(console_is_terminal, events, *, keep=True):
    file = io.StringIO()
    console = Console(file=file, force_terminal=console_is_terminal, width=60, color_system=None)
    shown = screen(console, keep=keep)
    shown.ask("ques[red]tion.wav")
    for event in events:
        shown.show(event)
    shown.close()
    return shown, file.getvalue()


def left_on_screen(output):
    """Play the cursor codes that Live uses; give the lines that remain."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|\n|\r|[^\x1b\n\r]+", output):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row -= 1
        elif not part.startswith(("\x1b", "\r")):
            lines[row] += part
    return [line.rstrip() for line in lines if line.strip()]


def test_into_a_pipe_the_answer_is_written_as_it_comes():
    shown, output = written(False, SPOKEN)
    assert isinstance(shown, Page)
    assert output == "ques[red]tion.wav\n  It is [bold]7[/].[2J\n"


def test_a_piece_is_in_the_pipe_before_the_next_one_comes():
    _, output = written(False, SPOKEN[:3])
    assert "It is" in output


def test_long_answers_are_not_wrapped_in_a_pipe():
    words = "word " * 50
    _, output = written(False, [Partial(1, 0, words)])
    assert words.rstrip() in output


def test_an_error_stands_on_a_line_of_its_own():
    _, output = written(False, [Partial(1, 0, "It"), Error("engine_error", "It broke.")])
    assert output.splitlines()[1:] == ["  It", "  server: It broke."]


def test_on_a_terminal_the_complete_answer_stays():
    shown, output = written(True, SPOKEN)
    assert isinstance(shown, Stage)
    assert left_on_screen(output) == ["ques[red]tion.wav", "  It is [bold]7[/].[2J"]
    assert "\x1b[2J" not in output


def test_on_a_terminal_the_answer_can_be_left_to_the_caller():
    _, output = written(True, SPOKEN, keep=False)
    assert left_on_screen(output) == ["ques[red]tion.wav"]


def test_an_interrupted_answer_is_marked():
    events = [Partial(1, 0, "One,"), Final(1, "One,", "interrupted")]
    _, output = written(True, events, keep=False)
    assert left_on_screen(output)[1:] == ["  One, (interrupted)"]


def test_the_screen_tells_what_is_going_on():
    _, output = written(True, SPOKEN[:1])
    assert "hearing speech" in output
    _, output = written(True, SPOKEN[:2])
    assert "thinking" in output
    _, output = written(True, SPOKEN[:3])
    assert "It is▌" in output


def test_of_an_answer_longer_than_the_screen_the_end_is_shown(monkeypatch):
    monkeypatch.setenv("LINES", "8")
    words = "".join(f"w{n:03} " for n in range(200))
    _, output = written(True, [Partial(1, 0, words)])
    assert "w199 ▌" in output
    assert "w100" not in output


def test_an_error_is_shown_above_the_moving_part():
    _, output = written(True, [SpeechStarted(0), Error("c", "Too [much].")])
    assert left_on_screen(output)[1:] == ["  server: Too [much]."]


def test_a_closed_screen_shows_the_cursor_again():
    _, output = written(True, SPOKEN[:3])
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")


def test_a_dumb_terminal_is_a_page(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(screen(Console(file=io.StringIO(), force_terminal=True)), Page)


def answer(first, writing, hangover=None, text="x" * 100):
    return Answer("q", 1, text, "stop", {}, first, writing, hangover)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            answer(612.4, 250.0, 500.0),
            "first partial 612 ms after the end of speech (500 ms of it waiting for more speech),"
            " complete 250 ms later, 400 characters/s",
        ),
        (
            answer(40.0, 0.2),
            "first partial 40 ms after it was asked for, complete 0 ms later",
        ),
        (answer(None, None), "no text came"),
    ],
)
def test_what_an_answer_took_is_one_line(answer, text):
    assert took(answer) == text


def test_what_a_dialogue_took_is_one_line():
    answers = [answer(10.0, 1.0), answer(None, None), answer(20.0, 1.0), answer(90.0, 1.0)]
    assert summary(answers) == "3 answers: first partial after 20 ms (median), 90 ms (longest)"
    assert summary(answers[:1]) is None


@given(st.text())
def test_nothing_that_steers_a_terminal_is_visible(text):
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", visible(text))
    assert "\n" not in one_line(text)
