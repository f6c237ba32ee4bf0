"""The stock clients that talk to the server."""

from __future__ import annotations

import pytest
from conformance.peer import connected
from conformance.schema import NODE_MISSING, Zod


@pytest.fixture(scope="session")
def zod():
    """The schemas of the Agents SDK; None without Node."""
    if NODE_MISSING:
        yield None
        return
    zod = Zod()
    yield zod
    zod.close()


@pytest.fixture
def connect(server, zod):
    """Connect the stock Python client to the server."""

    def connect(**options):
        return connected(server, zod=zod, **options)

    return connect
