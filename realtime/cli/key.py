"""The command `realtime key`: making API keys. A key is shown once; its hash is what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

keys = typer.Typer(name="key", help="API keys: who may come in.", no_args_is_help=True)


@keys.callback()
def group() -> None:
    """Have subcommands, also while there is one only."""


@keys.command()
def new(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File of keys, hashed, one per line.")
    ],
    name: Annotated[str, typer.Option(help="For whom it is; only you see this.")] = "",
) -> None:
    """Make a key: print it, once, and add its hash to FILE.

    A running server takes it up by itself. To take a key back, delete its line.

    Examples:

      realtime key new keys.txt --name "Anna's telephone"

      realtime serve --host 0.0.0.0 --key-file keys.txt
    """
    from realtime.errors import ConfigError
    from realtime.gateway.access.keys import add_key, new_key

    key = new_key()
    try:
        add_key(file, key, name)
    except ConfigError as error:
        typer.echo(f"realtime: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(key)
    typer.echo(f"This key is shown only now; its hash is in {file}.", err=True)
