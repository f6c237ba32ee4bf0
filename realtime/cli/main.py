"""The command line: `realtime serve`, `realtime ask`, `realtime batch`, `realtime key`.

Each command is in a module of its own; heavy imports wait inside them, so that `--help` is quick.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from realtime.cli.ask.command import ask
from realtime.cli.batch.command import batch
from realtime.cli.key import keys
from realtime.cli.serve import serve

app = typer.Typer(
    name="realtime",
    help="A real-time voice assistant around Qwen2-Audio: it hears you and answers as it thinks.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(ask)
app.command()(batch)
app.command()(serve)
app.add_typer(keys)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        try:
            print(f"realtime {version('realtime-qwen2-audio')}")
        except PackageNotFoundError:
            print("realtime (not installed: run from the source tree)")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=show_version),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
