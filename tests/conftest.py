"""What every test relies on."""

from __future__ import annotations

import signal

import pytest
from serving import serving

pytest_plugins = ["groups"]

# A shell that starts the tests in the background has SIGINT ignored in them (POSIX, XCU 2.11), and
# that is inherited by every program they start; Ctrl-C is then not what it is for a person.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Host and port of a server with the bundled model that everybody may use."""
    with serving(tmp_path_factory.mktemp("server") / "log") as (_, address):
        yield address
