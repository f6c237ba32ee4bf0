"""The one bar: how far the loading of a model has come, on a terminal where something can move."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from realtime.engine.api import Loading


def moving(console: Console) -> bool:
    """Tell whether something can move on this console."""
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def loading_bar(console: Console) -> Generator[Callable[[Loading], None], None, None]:
    """Show how a model loads, by what is told meanwhile; nothing where nothing can move."""
    columns = (TextColumn("Loading the model: {task.description}"), BarColumn())
    with Progress(
        *columns,
        TaskProgressColumn(),
        console=console,
        transient=True,
        disable=not moving(console),
    ) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda loading: progress.update(
            task, description=loading.stage, completed=loading.fraction
        )
