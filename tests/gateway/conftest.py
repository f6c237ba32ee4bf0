"""The gateway is tested on the event loop that it runs on; certificates for all of its tests."""

from __future__ import annotations

import certificates
import pytest
import uvloop


def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Make certificates."""
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(folder)
    return folder
