"""The output: one line of JSON a conversation, whole on disk before the next, in order of arrival.

A file that is there already is gone on with: what is answered stays, what failed is tried again,
and a last line that was torn is dropped. Nothing else is ever overwritten.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from realtime.cli.batch.manifest import Broken
from realtime.engine.api import Finish
from realtime.errors import ConfigError


class Answer(msgspec.Struct, frozen=True):
    """The answer to one turn."""

    text: str
    finish: Finish
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class Answered(msgspec.Struct, frozen=True):
    """A conversation of which every turn was answered."""

    id: str | int
    line: int
    answers: list[Answer]


class Error(msgspec.Struct, frozen=True):
    """What went wrong."""

    code: str
    message: str


class Failed(msgspec.Struct, frozen=True):
    """A line that was not answered; `id` is None where it cannot be read."""

    id: str | int | None
    line: int
    error: Error

    @classmethod
    def of(cls, broken: Broken) -> Self:
        """Record a broken line."""
        return cls(broken.id, broken.line, Error(broken.code, broken.message))


class Found(msgspec.Struct, frozen=True):
    """A record of an earlier run, as far as it matters."""

    id: str | int | None
    line: int
    answers: list[Answer] | None = None
    error: Error | None = None


RECORD = msgspec.json.Decoder(Found)
ENCODER = msgspec.json.Encoder()


class Results:
    """An output file that is open for more records."""

    def __init__(self, file: BinaryIO, finished: frozenset[str | int]) -> None:
        self.file = file
        self.finished = finished
        """Ids of what was answered before."""

    def write(self, record: Answered | Failed) -> None:
        """Add a record; raise ConfigError when the disk does not take it."""
        try:
            self.file.write(ENCODER.encode(record) + b"\n")
            self.file.flush()
        except OSError as error:
            raise ConfigError(f"the output cannot be written: {error.strerror}") from None


@contextmanager
def results(path: Path, manifest: Path) -> Iterator[Results]:
    """Open an output, mended if need be; raise ConfigError when it cannot be one."""
    try:
        if path.exists() and path.samefile(manifest):
            raise ConfigError(f"{path} is the manifest; name another file for the answers")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is no file")
        out = opened(path)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path} cannot be written: {reason}") from None
    try:
        yield out
    finally:
        # What a full disk did not take was told when it was written.
        with suppress(OSError):
            out.file.close()


def opened(path: Path) -> Results:
    """Open a file of ours to add to."""
    file = path.open("ab+")
    try:
        lock(file, path)
        return mended(file, path)
    except BaseException:
        file.close()
        raise


def lock(file: BinaryIO, path: Path) -> None:
    """Keep other runs away from the file until it is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"another run is writing to {path}") from None


def mended(file: BinaryIO, path: Path) -> Results:
    """Go on with a file, without what failed or was torn."""
    finished: set[str | int] = set()
    spoilt = False
    for record, _ in records(file, path):
        if record is None or record.id is None or record.answers is None:
            spoilt = True
        else:
            finished.add(record.id)
    if spoilt:
        file = rewritten(file, path)
    return Results(file, frozenset(finished))


def rewritten(old: BinaryIO, path: Path) -> BinaryIO:
    """Put a file with only what was answered in the place of the old one, all or nothing."""
    beside = path.with_name(path.name + ".mending")
    new = beside.open("wb")
    try:
        lock(new, path)
        for record, line in records(old, path):
            if record is not None and record.answers is not None:
                new.write(line)
        new.flush()
        os.fsync(new.fileno())
        beside.chmod(path.stat().st_mode & 0o777)
        beside.replace(path)
    except BaseException:
        new.close()
        beside.unlink(missing_ok=True)
        raise
    old.close()
    return new


def records(file: BinaryIO, path: Path) -> Iterator[tuple[Found | None, bytes]]:
    """Read what is in an output; None for a torn last line. Raise ConfigError for another file."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            yield None, line
            return
        try:
            record = RECORD.decode(line)
        except (msgspec.DecodeError, RecursionError, ValueError):
            record = None
        if record is None or (record.answers is None) == (record.error is None):
            raise ConfigError(
                f"{path} holds something else than answers (line {number}): it is left as it is; "
                "name another file"
            )
        yield record, line
