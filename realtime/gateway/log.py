"""Logging: structlog to stderr, for people or as JSON; the libraries' own warnings with it.

Never logged: keys, resume secrets, what users say, what they are answered. For all of these are
in local variables, tracebacks are without them.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog


class Stderr:
    """The standard error of the moment, so that a progress bar can stand in for it."""

    def write(self, text: str) -> int:
        """Write to what is stderr now."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush what is stderr now."""
        sys.stderr.flush()


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
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    stderr = cast(TextIO, Stderr())
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stderr),
        cache_logger_on_first_use=False,
    )
    libraries = logging.StreamHandler(stderr)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[libraries], level=max(number, logging.WARNING), force=True)
