"""Transports are tested on the event loop that they run on."""

from __future__ import annotations

from event_loop import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
