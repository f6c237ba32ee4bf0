"""One real server with the bundled model, and the stock clients that talk to it."""

from __future__ import annotations

import pytest
from conformance.peer import connected
from conformance.schema import NODE_MISSING, Zod
from serving import serving


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Host and port of a server that everybody may use."""
    with serving(tmp_path_factory.mktemp("server") / "log") as (_, address):
        yield address


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
