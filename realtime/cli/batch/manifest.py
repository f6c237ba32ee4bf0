"""The lines of a manifest, each one a conversation; a mistake belongs to its line alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar

import msgspec

from realtime.engine.api import Sampling
from realtime.errors import ConfigError

MAX_LINE = 4 << 20
"""Bytes; a longer line is not even parsed."""
PLACE = "<|AUDIO|>"
"""Where a recording goes in the prompt of a base model."""
T = TypeVar("T")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=8_192)]
Id = (
    Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    | Annotated[int, msgspec.Meta(ge=0, le=2**53)]
)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as the manifest names it: a path relative to it, or an http(s) address."""

    name: str


Question = tuple[Recording | str, ...]
"""The parts of one user turn."""


@dataclass(frozen=True, slots=True)
class Job:
    """One conversation to be answered, turn by turn."""

    id: str | int
    line: int
    questions: tuple[Question, ...]
    system: str | None
    sampling: Sampling
    template: bool
    """False: the one question is a base model's prompt, taken as it is."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that is no conversation, and why."""

    id: str | int | None
    line: int
    code: str
    message: str


class Options(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`sampling` as written; `Sampling` checks the values."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    max_tokens: int = Sampling().max_tokens

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, so that the place in the line is told."""
        self.sampling()

    def sampling(self) -> Sampling:
        """Give the same as the engine takes it."""
        return Sampling(**msgspec.structs.asdict(self))


class TurnFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One user turn as written."""

    audio: Name | list[Name] | None = None
    text: str | None = None


class Fields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A line as written."""

    id: Id | None = None
    turns: list[TurnFields] | None = None
    audio: Name | list[Name] | None = None
    text: str | None = None
    prompt: str | None = None
    system: str | None = None
    sampling: Options | None = None


class IdAlone(msgspec.Struct):
    """What may still be read of a line that is broken elsewhere."""

    id: Id | None = None


LINE = msgspec.json.Decoder(Fields)
INSIDE = {"`$.turns": TurnFields, "`$.sampling": Options}
"""What stands where in a line, as far as it is not the line itself."""
ID = msgspec.json.Decoder(IdAlone)


def read(path: Path) -> Iterator[Job | Broken]:
    """Parse a manifest line by line; raise ConfigError when it cannot be read."""
    seen: set[str | int] = set()
    with opened(path) as file:
        for number, line in lines(file):
            item = parse(number, line)
            if isinstance(item, Job) and item.id in seen:
                item = Broken(item.id, number, "duplicate_id", f"the id {item.id!r} came before")
            elif item.id is not None:
                seen.add(item.id)
            yield item


def opened(path: Path) -> BinaryIO:
    """Open a manifest, past the mark that some editors put before UTF-8."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is no file; a manifest is read more than once")
        file = path.open("rb")
        if file.read(3) != b"\xef\xbb\xbf":
            file.seek(0)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    return file


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that are not blank with their numbers from 1; None for one too long."""
    for number in itertools.count(1):
        line = piece = file.readline(MAX_LINE + 1)
        if not line:
            return
        while len(piece) > MAX_LINE and not piece.endswith(b"\n"):
            piece = file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            yield number, None
        elif line.strip():
            yield number, line


def parse(number: int, line: bytes | None) -> Job | Broken:
    """Read one line."""
    if line is None:
        return Broken(None, number, "bad_line", f"the line has more than {MAX_LINE >> 20} MiB")
    try:
        fields = LINE.decode(line)
        return Job(
            number if fields.id is None else fields.id,
            number,
            questions(fields),
            fields.system,
            (fields.sampling or Options()).sampling(),
            template=fields.prompt is None,
        )
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return Broken(id_of(line), number, "bad_line", explained(str(error)))


def explained(message: str) -> str:
    """Add to what msgspec says of a field that is unknown which ones there are in its place."""
    if not message.startswith("Object contains unknown field"):
        return message
    place = message.rpartition(" - at ")[2]
    shape = next((INSIDE[start] for start in INSIDE if place.startswith(start)), Fields)
    return f"{message}; known are {', '.join(shape.__struct_fields__)}"


def id_of(line: bytes) -> str | int | None:
    """Give the id of a broken line, if that can be read."""
    try:
        return ID.decode(line).id
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def questions(fields: Fields) -> tuple[Question, ...]:
    """Give the user turns of a line in whichever form it has; raise ValueError for none or two."""
    short = fields.audio is not None or fields.text is not None
    if fields.prompt is not None:
        for name in ("turns", "text", "system"):
            if getattr(fields, name) is not None:
                raise ValueError(f"`prompt` is the whole text; `{name}` cannot stand beside it")
        return (filled(fields.prompt, names(fields.audio)),)
    if fields.turns is not None:
        if short:
            raise ValueError("`turns` hold `audio` and `text`; these cannot stand beside them")
        if not fields.turns:
            raise ValueError("`turns` is empty")
        return tuple(
            question(turn.audio, turn.text, f"turn {i}: ") for i, turn in enumerate(fields.turns, 1)
        )
    return (question(fields.audio, fields.text, ""),)


def question(audio: str | list[str] | None, text: str | None, where: str) -> Question:
    """Give one user turn: the recordings, then the text, as Qwen2-Audio's examples have it."""
    parts: Question = tuple(map(Recording, names(audio)))
    if text and text.strip():
        parts = (*parts, text)
    if not parts:
        raise ValueError(f"{where}there is nothing to answer: give `audio`, `text` or both")
    return parts


def filled(prompt: str, audio: list[str]) -> Question:
    """Put recordings in their places in a base model's prompt."""
    texts = prompt.split(PLACE)
    if len(texts) - 1 != len(audio):
        raise ValueError(f"`prompt` has {len(texts) - 1} {PLACE} for {len(audio)} recordings")
    if not prompt.strip():
        raise ValueError("`prompt` is empty")
    places = itertools.zip_longest(texts, map(Recording, audio))
    return tuple(part for pair in places for part in pair if part)


def names(audio: str | list[str] | None) -> list[str]:
    """List recordings that may be one or none."""
    if audio is None:
        return []
    return [audio] if isinstance(audio, str) else audio
