"""What a person sees of a batch: a bar with rate and time left, what failed, and a last line.

On anything but a terminal each tenth of the way is one line. All of it goes to stderr.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

from client.terminal import one_line
from realtime.cli.batch.asking import Record
from realtime.cli.batch.results import Answered, Failed
from realtime.cli.shared.progress import moving

PERIOD = 120.0
"""Seconds that the rate is taken over."""


class RateColumn(ProgressColumn):
    """Conversations and tokens a second."""

    def render(self, task: Task) -> Text:
        """Write them."""
        return Text(rate(task), style="progress.data.speed")


def rate(task: Task) -> str:
    """Say how fast it goes: conversations of late, tokens from the beginning."""
    if not task.completed or not task.elapsed:
        return ""
    speed = task.speed or task.completed / task.elapsed
    return f"{speed:.3g}/s, {task.fields['tokens'] / task.elapsed:.0f} tokens/s"


class Report:
    """Counts records and shows how it goes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.moving = moving(console)
        self.answered = self.failed = self.tokens = 0
        self.began = time.monotonic()

    @contextmanager
    def answering(self, total: int) -> Generator[Callable[[Record], None], None, None]:
        """Show how the answers come."""
        self.began = time.monotonic()
        columns = (BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
        with Progress(
            *columns,
            console=self.console,
            transient=True,
            disable=not self.moving,
            speed_estimate_period=PERIOD,
        ) as progress:
            progress.add_task("", total=total, tokens=0)
            (task,) = progress.tasks

            def tell(record: Record) -> None:
                self.count(record)
                progress.update(task.id, advance=1, tokens=self.tokens)
                if not self.moving and passes_tenth(int(task.completed), total):
                    left = f", {task.time_remaining:.0f} s left" if task.time_remaining else ""
                    self.say(f"{task.completed:.0f} of {total}, {rate(task)}{left}")

            yield tell

    def count(self, record: Record) -> None:
        """Count a record; say what went wrong."""
        match record:
            case Answered(answers=answers):
                self.answered += 1
                self.tokens += sum(answer.completion_tokens for answer in answers)
            case Failed(line=line, error=error):
                self.failed += 1
                self.say(f"line {line}: {error.message} ({error.code})")

    def summary(self, before: int) -> str:
        """Say what came of it; `before` were answered by earlier runs."""
        seconds = time.monotonic() - self.began
        words = [f"{self.answered} answered"]
        if self.failed:
            words.append(f"{self.failed} failed")
        if before:
            words.append(f"{before} answered before")
        speed = f" ({self.tokens / seconds:.0f} tokens/s)" if self.tokens else ""
        return f"{', '.join(words)} in {seconds:.1f} s{speed}"

    def say(self, text: str) -> None:
        """Write a line."""
        self.console.print(Text(f"realtime batch: {one_line(text)}"), soft_wrap=True)


def passes_tenth(done: int, total: int) -> bool:
    """Tell whether another tenth of the way is done with this one."""
    return done * 10 // total > (done - 1) * 10 // total
