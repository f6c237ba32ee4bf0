"""The options of `realtime batch`, and what they come to as an exit code.

0 all answered, 1 some failed, 2 the manifest, the output or an option cannot be used, 130
interrupted. What can be wrong with all of it is found before the model is loaded.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from realtime.errors import ConfigError, ModelError, RealtimeError

if TYPE_CHECKING:
    from realtime.config import Key

ANSWERED, FAILED, UNUSABLE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


def batch(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="One conversation a line, see above.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT.jsonl", help="Where the answers go."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PATH_OR_HUB_ID",
            help="A Qwen2-Audio checkpoint; else the bundled demonstration.",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")] = None,
    at_once: Annotated[
        int | None,
        typer.Option(metavar="N", help="Answers generated at once; else worker.slots, 8."),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings in TOML.")] = None,
) -> None:
    """Answer every conversation of a manifest, many at once.

    [bold]Manifest[/bold]: one line of JSON a conversation. A question of one turn,
    recordings before text; either may be missing:

      {"id": "siren", "audio": "siren.wav", "text": "What's that sound?"}

      {"audio": ["a.wav", "https://example.com/b.mp3"], "text": "Alike?"}

    Several turns, answered in order, each answer being history for the next:

      {"turns": [{"audio": "my-name-is.wav"}, {"audio": "who-am-i.wav"}]}

    What the model is told before, and how it answers:

      {"audio": "a.wav", "system": "Be brief.", "sampling": {"top_k": 1}}

    A base model's prompt, taken as it is, <|AUDIO|> standing for each recording:

      {"prompt": "<|audio_bos|><|AUDIO|><|audio_eos|>Hm?", "audio": "a.wav"}

    Recordings are wav, flac, mp3, ogg, m4a, webm or other sound files: paths relative to
    the manifest, or http(s) addresses. [bold]id[/bold] is text or a number, the line's
    number without one. [bold]sampling[/bold] may have temperature (0: the likeliest), top_k,
    top_p, repetition_penalty, seed, max_tokens.

    [bold]Output[/bold]: one line a conversation, as they finish, such as

      {"id": "siren", "line": 1, "answers": [{"text": "...", "finish": "stop",
      "prompt_tokens": 61, "cached_tokens": 0, "completion_tokens": 9}]}

      {"id": 3, "line": 3, "error": {"code": "bad_audio", "message": "..."}}

    Run it again after an interruption: what is answered stays, the rest and
    what failed is asked.

    [bold]Example[/bold]

      realtime batch manifest.jsonl -o answers.jsonl

    [bold]Exit codes[/bold]: 0 all answered, 1 some failed, 2 the manifest, the output or an
    option cannot be used.
    """
    from realtime.cli.batch.running import run
    from realtime.config import environment, load

    options: dict[Key, object] = {
        ("worker", "model"): model,
        ("worker", "device"): device,
        ("worker", "dtype"): dtype,
        ("worker", "slots"): at_once,
        ("worker", "spare_cores"): 0,  # nobody speaks meanwhile
    }
    try:
        settings = load(file=config, environment=environment(), options=options)
        complete = run(settings.worker, manifest, output)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on where this one stopped", INTERRUPTED)
    except asyncio.CancelledError:
        fail("terminated; the same command goes on where this one stopped", TERMINATED)
    except (ConfigError, ModelError) as error:
        fail(str(error), UNUSABLE)
    except RealtimeError as error:
        fail(str(error), FAILED)
    raise typer.Exit(ANSWERED if complete else FAILED)


def fail(message: str, code: int) -> NoReturn:
    """Say in one sentence why nothing more comes, and leave."""
    typer.echo(f"realtime batch: {message}", err=True)
    raise typer.Exit(code) from None
