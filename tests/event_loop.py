"""The event loop that the gateway runs on; a folder's conftest.py that imports the hook has it."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

import pytest
import uvloop

__all__ = ["pytest_asyncio_loop_factories"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Run tests on uvloop."""
    return {"uvloop": uvloop.new_event_loop}
