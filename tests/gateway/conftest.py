"""The gateway is tested on the event loop that it runs on; certificates for all of its tests."""

from __future__ import annotations

import certificates
import pytest
from event_loop import pytest_asyncio_loop_factories

__all__ = ["files", "pytest_asyncio_loop_factories"]


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Make certificates."""
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(folder)
    return folder
