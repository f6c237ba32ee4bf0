"""What is printed of a dialogue: progress to stderr, the answer of each turn to stdout."""

from __future__ import annotations

import json
import sys

import typer
from rich.console import Console
from rich.text import Text

from client.dialogue import Answer, Exchange, Question
from client.events import Error, Event, Ready
from client.terminal import Screen, greeting, one_line, screen, summary, took

NO_SPEECH = """  no speech was heard in it; to ask about a sound: --text "What's that sound?\""""


class Report:
    """Prints what comes of an order: progress to the console, answers to stdout."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = console
        # On one and the same terminal the line on stdout takes the place of the moving text.
        self.screen: Screen = screen(console, keep=as_json or not sys.stdout.isatty())
        self.question = Question("")
        self.answers: list[Answer] = []
        self.complete = True

    def begin(self, question: Question) -> None:
        """Show what is asked."""
        self.question = question
        self.screen.ask(one_line(question.name))

    def tell(self, news: Event | Answer) -> None:
        """Show an event; print a complete answer."""
        match news:
            case Answer():
                self.answer(news)
            case Ready():
                self.note(greeting(news))
            case _:
                self.screen.show(news)

    def answer(self, answer: Answer) -> None:
        """Print an answer and what it took; an interrupted one is no line on stdout."""
        self.answers.append(answer)
        if self.as_json:
            self.print_answer(answer)
        elif not answer.interrupted:
            typer.echo(one_line(answer.text))
        self.note(f"  {took(answer)}")

    def end(self, exchange: Exchange) -> None:
        """Note whether the question was answered; a line of JSON comes also where it was not."""
        if not exchange.answers and self.as_json:
            self.print_json(
                turn=None, text="", finish=None, interrupted=False, error=exchange.error
            )
        if self.question.pcm and not self.question.text and not exchange.heard:
            self.note(NO_SPEECH)
        self.complete &= any(not answer.interrupted for answer in exchange.answers)

    def print_answer(self, answer: Answer) -> None:
        """Print an answer as JSON; `first_partial` and `writing` were measured here."""
        seen = {"first_partial": answer.first_partial_ms, "writing": answer.writing_ms}
        self.print_json(
            turn=answer.turn,
            text=answer.text,
            finish=answer.finish,
            interrupted=answer.interrupted,
            ms=answer.ms | {name: round(ms, 1) for name, ms in seen.items() if ms is not None},
            error=answer.error,
        )

    def print_json(self, *, error: Error | None, **fields: object) -> None:
        """Print a line of JSON about the question; `error` is there only if there was one."""
        line = {"file": self.question.name if self.question.pcm else None, **fields}
        if error is not None:
            line["error"] = {"code": error.code, "message": error.message}
        typer.echo(json.dumps(line, ensure_ascii=False))

    def note(self, text: str) -> None:
        """Write a remark."""
        self.console.print(Text(text, style="dim"), soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self.screen.close()
        if text := summary(self.answers):
            self.note(text)
