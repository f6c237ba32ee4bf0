"""Logging: structlog to stderr, for people or as JSON; the libraries' own warnings with it.

Logging can never end the server or hold it up. Never logged: keys, resume secrets, what users say,
what they are answered. For all of these are in local variables, tracebacks are without them.
"""

from __future__ import annotations

import contextlib
import logging
import select
import sys
from collections.abc import Callable
from typing import TextIO, cast

import structlog

PIECE = 1_000
"""Characters written at a time: no more bytes than a pipe that poll(2) reports has room for."""
PATIENCE_MS = 50
"""What one write may wait for a reader; once in vain, the next ones wait no more."""


class Unfailing:
    """A text stream that never raises and never holds the server up.

    The reader of the pipe may be gone or asleep, the disk full, the stream closed: what cannot be
    written is dropped and counted.
    """

    def __init__(self, find: Callable[[], TextIO | None], parent: Unfailing | None = None) -> None:
        self.find = find
        """Gives the stream of the moment, so that a progress bar can stand in for it."""
        self.counted = parent or self
        self.lost = 0
        """Lines of which something was dropped."""
        self.patient = True
        """The last write found room: the next may wait a moment for it."""

    def write(self, text: str) -> int:
        """Write what there is room for."""
        try:
            stream = self.find()
            for at in range(0, len(text), PIECE):
                if at:
                    self.flush()
                if stream is None or not self.room(stream):
                    raise BlockingIOError
                stream.write(text[at : at + PIECE])
        except (OSError, ValueError):  # ValueError: it is closed
            self.counted.lost += text.count("\n")
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be."""
        with contextlib.suppress(OSError, ValueError):
            if (stream := self.find()) is not None:
                stream.flush()

    def room(self, stream: TextIO) -> bool:
        """Tell whether a piece can be written at once: a reader may be there and not read."""
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError):
            return True  # it is no file: in memory
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        self.patient = bool(poll.poll(PATIENCE_MS if self.patient else 0))
        return self.patient

    def fileno(self) -> int:
        """Give the descriptor of the stream."""
        if (stream := self.find()) is None:
            raise OSError("there is no stream")
        return stream.fileno()

    def isatty(self) -> bool:
        """Tell whether a person sees it."""
        stream = self.find()
        return stream is not None and not stream.closed and stream.isatty()

    @property
    def encoding(self) -> str:
        """Give the encoding of the stream."""
        return getattr(self.find(), "encoding", None) or "utf-8"


stderr = Unfailing(lambda: sys.stderr)
"""Where the log goes; the progress bar's own stream counts here too."""


def terminal() -> Unfailing:
    """Give the standard error as it is now, for a progress bar that then stands in for it."""
    now = sys.stderr
    return Unfailing(lambda: now, stderr)


def configure(*, level: str = "info", json: bool = False) -> None:
    """Set logging up once for this process; `level` is debug, info, warning or error."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if json else "%H:%M:%S", utc=json),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        else [
            structlog.dev.ConsoleRenderer(
                colors=stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    file = cast(TextIO, stderr)
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file),
        cache_logger_on_first_use=False,
    )
    libraries = logging.StreamHandler(file)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[libraries], level=max(number, logging.WARNING), force=True)
