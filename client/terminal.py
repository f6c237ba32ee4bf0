"""A dialogue as one watches it in a terminal: what is heard, the answer as it grows, what it took.

On a real terminal the answer grows in place; into a pipe or a file it is written as it comes,
without control codes. What the server says is stripped of control characters before it is shown.
"""

from __future__ import annotations

import statistics
import unicodedata
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from client.dialogue import Answer
from client.events import Cancelled, Error, Event, Final, Partial, Ready
from client.events import SpeechStarted as Started
from client.events import SpeechStopped as Stopped

INDENT = "  "
REFRESH = 12  # times a second


class Screen(Protocol):
    """Where a dialogue is shown."""

    def ask(self, name: str) -> None:
        """Begin a question."""

    def show(self, event: Event) -> None:
        """Show an event."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


class Page:
    """Writes everything once, as it comes; for pipes, files and dumb terminals."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.writing = False

    def ask(self, name: str) -> None:
        """Write the name of the question."""
        self.write(name, "\n")

    def show(self, event: Event) -> None:
        """Write the next piece of the answer, or what went wrong."""
        match event:
            case Partial(delta=delta):
                start = "" if self.writing else INDENT
                self.writing = True
                self.write(start + visible(delta).replace("\n", "\n" + INDENT), "")
            case Final() | Cancelled():
                self.close()
            case Error(message=message):
                self.close()
                self.write(f"{INDENT}server: {visible(message)}", "\n")
            case _:
                pass

    def close(self) -> None:
        """End the line of an answer."""
        if self.writing:
            self.writing = False
            self.write("", "\n")

    def write(self, text: str, end: str) -> None:
        """Write text as it is: no markup, no colours, no wrapping."""
        self.console.print(Text(text), end=end, soft_wrap=True)
        self.console.file.flush()


class Stage:
    """Lets the answer grow in place on a terminal.

    `keep` leaves it there when it is complete; without, the caller prints it.
    """

    def __init__(self, console: Console, *, keep: bool) -> None:
        self.console = console
        self.keep = keep
        self.live: Live | None = None
        self.text = ""
        self.spinner = Spinner("dots")

    def ask(self, name: str) -> None:
        """Show the name of the question and that it is being said."""
        self.close()
        self.console.print(Text(name, style="bold"), soft_wrap=True)
        self.begin("sending")

    def show(self, event: Event) -> None:
        """Show who speaks, or the answer so far."""
        match event:
            case Started():
                self.begin("hearing speech")
            case Stopped():
                self.begin("thinking")
            case Partial(delta=delta):
                self.begin("")
                self.text += visible(delta)
            case Final(text=text, finish=finish):
                self.end(visible(text), finish)
            case Error(message=message):
                self.console.print(Text(f"{INDENT}server: {visible(message)}", style="yellow"))
            case _:
                pass

    def begin(self, status: str) -> None:
        """Let something move until the answer is complete."""
        self.spinner.update(text=Text(status, style="dim"))
        if self.live is None:
            self.text = ""
            self.live = Live(
                get_renderable=self.picture,
                console=self.console,
                refresh_per_second=REFRESH,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.live.start()

    def picture(self) -> RenderableType:
        """Draw the answer so far, or a sign of life."""
        room = max(1, self.console.height - 4) * max(1, self.console.width - len(INDENT))
        tail = self.text[-room:]  # what moves must fit on the screen
        shown = Text(tail + "▌", style="green") if tail else self.spinner
        return Padding(shown, (0, 0, 0, len(INDENT)))

    def end(self, text: str, finish: str) -> None:
        """Take the moving part away; leave the answer if it is not printed elsewhere."""
        self.close()
        cut = finish == "interrupted"
        if self.keep or cut:
            answer = Text(text, style="green") + Text(" (interrupted)" * cut, style="dim")
            self.console.print(Padding(answer, (0, 0, 0, len(INDENT))))

    def close(self) -> None:
        """Take the moving part away."""
        if self.live is not None:
            self.live.stop()
            self.live = None


def screen(console: Console, *, keep: bool = True) -> Screen:
    """Choose how a dialogue can be shown on this console."""
    moving = console.is_terminal and not console.is_dumb_terminal
    return Stage(console, keep=keep) if moving else Page(console)


def greeting(ready: Ready) -> str:
    """Say who answers."""
    return f"connected: {visible(ready.model)}"


def took(answer: Answer) -> str:
    """Say in a line how long an answer took, as seen here."""
    if answer.first_partial_ms is None or answer.writing_ms is None:
        return "no text came"
    waited = answer.hangover_ms
    start = "after the end of speech" if waited else "after it was asked for"
    within = f" ({waited:.0f} ms of it waiting for more speech)" if waited else ""
    parts = [f"first partial {answer.first_partial_ms:.0f} ms {start}{within}"]
    parts.append(f"complete {answer.writing_ms:.0f} ms later")
    if answer.characters_per_second is not None and answer.writing_ms >= 1:
        parts.append(f"{answer.characters_per_second:.0f} characters/s")
    return ", ".join(parts)


def summary(answers: Sequence[Answer]) -> str | None:
    """Say in a line how long the answers of a dialogue took; None for fewer than two."""
    times = [a.first_partial_ms for a in answers if a.first_partial_ms is not None]
    if len(times) < 2:
        return None
    middle, longest = statistics.median(times), max(times)
    spread = f"{middle:.0f} ms (median), {longest:.0f} ms (longest)"
    return f"{len(times)} answers: first partial after {spread}"


def visible(text: str) -> str:
    """Drop control characters, which could rewrite the user's terminal; newlines stay."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def one_line(text: str) -> str:
    """Put a text on one line."""
    return " ".join(visible(text).split())
