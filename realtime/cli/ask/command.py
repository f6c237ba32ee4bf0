"""The options of `realtime ask`, and what they come to as an exit code.

0 answered, 1 an answer failed, 2 the input cannot be used, 130 interrupted. Everything that can be
wrong with the input is found before a server is asked or started.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from realtime.errors import AudioError, ConfigError, ModelError, RealtimeError

if TYPE_CHECKING:
    from client.errors import Refused

KEY_VARIABLE = "REALTIME_KEY"
KEY_NOT_NEEDED = "--key is not used: it is for a server at --url, the one started here needs none"
ANSWERED, FAILED, UNUSABLE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


def ask(
    context: typer.Context,
    audio: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AUDIO",
            help="Sound files (wav, flac, mp3, ogg, m4a, webm...): paths or http(s) addresses. "
            "Several are the turns of one conversation. They are taken as speech, unless --text "
            "says what is asked about them.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            "-t",
            metavar="INSTRUCTION",
            help="A written instruction for each recording (audio analysis), or, without "
            "recordings, the question itself. Give it once, or once for each recording.",
        ),
    ] = None,
    instruction: Annotated[
        str,
        typer.Option(metavar="STANDING", help="A standing instruction for every turn."),
    ] = "",
    url: Annotated[
        str | None,
        typer.Option(
            metavar="WS",
            help="The server to ask, such as ws://127.0.0.1:8765. "
            "Without it, one is started here for these questions alone.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar=KEY_VARIABLE,
            help="An API key, where the server needs one. It is safer in the environment: options "
            "are seen by everybody on this machine.",
        ),
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Certificates in PEM to trust beside the system's: a server's own, or its CA's.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PATH_OR_HUB_ID", help="The model of the server that is started here."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each turn.")
    ] = False,
    speed: Annotated[
        float,
        typer.Option(metavar="X", help="Send the recordings at X times real time, 0.1 to 1000."),
    ] = 1.0,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Give up when the server says nothing for so long."),
    ] = 120.0,
) -> None:
    """Ask recorded or written questions; watch the answers come.

    The recordings are streamed as a microphone would. What is going on,
    partial answers and latencies go to stderr; the answer of each turn is
    one line on stdout.

    [bold]Examples[/bold]

    Ask a spoken question:

        realtime ask question.wav

    A conversation of two turns:

        realtime ask my_name_is_anna.wav what_is_my_name.wav

    Ask about a sound:

        realtime ask siren.flac --text "What's that sound?"

    Without a microphone:

        realtime ask --text "what is two plus three"

    Ask a running server, for a program to read:

        realtime ask question.mp3 --url ws://127.0.0.1:8765 --json

    Ask one that needs a key and has a certificate of its own:

        export REALTIME_KEY=sk-...

        realtime ask question.wav --url wss://192.0.2.7:8765 --ca cert.pem

    [bold]Exit codes[/bold]: 0 answered, 1 an answer failed, 2 the input cannot be used.
    """
    from rich.console import Console

    from client.errors import Refused, ServerUnreachable, Untrusted, VoiceError
    from realtime.cli.ask.asking import Order, run
    from realtime.cli.ask.questions import check, check_server, gather

    console = Console(stderr=True, highlight=False)
    try:
        check(speed=speed, patience=timeout, instruction=instruction)
        check_server(url, model=model, key=key, ca=ca)
        questions = tuple(gather(audio or [], text or [], console))
        order = Order(questions, instruction, bool(text), speed, timeout, as_json, key, ca)
        source = context.get_parameter_source("key")
        if url is None and source is not None and source.name == "COMMANDLINE":
            console.print(KEY_NOT_NEEDED, style="dim", soft_wrap=True)
        answered = asyncio.run(run(order, url, model, console))
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except asyncio.CancelledError:
        fail("terminated", TERMINATED)
    except Refused as error:
        fail(refused(error, url, key), UNUSABLE)
    except Untrusted as error:
        fail(f"{error}; --ca FILE trusts the one in FILE", UNUSABLE)
    except (AudioError, ConfigError, ModelError, ServerUnreachable) as error:
        fail(str(error), UNUSABLE)
    except (VoiceError, RealtimeError) as error:
        fail(str(error), FAILED)
    raise typer.Exit(ANSWERED if answered else FAILED)


def refused(error: Refused, url: str | None, key: str | None) -> str:
    """Say why a server refused, and where a key is to be put or was taken from."""
    from client.opening import place

    if error.code != "http_401":
        return str(error)
    if key:
        return f"{error} (the key is from --key or {KEY_VARIABLE})"
    where = f"give --key, or better {KEY_VARIABLE} in the environment"
    return f"{place(url or '')} wants an API key: {where}"


def fail(message: str, code: int) -> NoReturn:
    """Say in one sentence why nothing more comes, and leave."""
    typer.echo(f"realtime ask: {message}", err=True)
    raise typer.Exit(code) from None
