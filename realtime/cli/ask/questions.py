"""What is asked: options, recordings and texts, read and checked before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from client.dialogue import Question
from client.opening import address
from client.tls import trust
from realtime.audio.files import read
from realtime.audio.pcm import to_bytes
from realtime.cli.shared.download import download, is_url
from realtime.cli.shared.progress import moving
from realtime.errors import AudioError, ConfigError

MAX_TEXT = 16 * 1024  # bytes of UTF-8 that one message may carry
SPEEDS = (0.1, 1000.0)


def check(*, speed: float, patience: float, instruction: str) -> None:
    """Refuse options that cannot be meant."""
    check_text("--instruction", instruction)
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        raise ConfigError(f"--speed must be {SPEEDS[0]:g} to {SPEEDS[1]:g}, not {speed:g}")
    if not 0 < patience <= 86_400:
        raise ConfigError(f"--timeout must be above 0, at most 86400, not {patience:g}")


def check_server(url: str | None, *, model: str | None, key: str | None, ca: str | None) -> None:
    """Refuse what cannot be said of a server."""
    if url is None:
        if ca is not None:
            raise ConfigError("--ca is for a server at --url")
        return
    if model is not None:
        raise ConfigError("--model is for a server started here; the one at --url has its own")
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigError("--key (or REALTIME_KEY) has characters that are in no key")
    try:
        secure = address(url, {}).startswith("wss:")
    except ValueError as error:
        raise ConfigError(f"--url: {error}") from None
    if ca is None:
        return
    if not secure:
        raise ConfigError("--ca is for TLS: give --url as wss://...")
    try:
        trust(ca)
    except ValueError as error:
        raise ConfigError(f"--ca: {error}") from None


def gather(names: Sequence[str], texts: Sequence[str], console: Console) -> Iterator[Question]:
    """Read everything that will be asked; raise AudioError or ConfigError for what cannot be."""
    for text in texts:
        check_text("--text", text)
        if not text.strip():
            raise ConfigError("--text is empty")
    if not names and not texts:
        raise ConfigError("there is nothing to ask: give an audio file or --text (see --help)")
    if not names:
        yield from (Question(text, text=text) for text in texts)
        return
    if len(texts) not in (0, 1, len(names)):
        raise ConfigError(f"--text is given {len(texts)} times for {len(names)} recordings")
    for at, name in enumerate(names):
        text = texts[at % len(texts)] if texts else ""
        yield Question(name, recording(name, console), text)


def check_text(option: str, text: str) -> None:
    """Refuse a text that the protocol cannot carry."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ConfigError(f"{option} is not valid UTF-8") from None
    if size > MAX_TEXT:
        raise ConfigError(f"{option} has {size} bytes; at most {MAX_TEXT} can be sent")


def recording(name: str, console: Console) -> bytes:
    """Read a recording from a path or an address as 16-bit samples at 16 kHz."""
    try:
        return to_bytes(read(fetch(name, console) if is_url(name) else name))
    except AudioError as error:
        prefix = "" if name in str(error) else f"{name}: "
        raise AudioError(f"{prefix}{error}") from None


def fetch(url: str, console: Console) -> bytes:
    """Download a recording behind a progress bar."""
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not moving(console)
    ) as progress:
        task = progress.add_task(url, total=None)
        return download(
            url, progress=lambda done, of: progress.update(task, completed=done, total=of)
        )
