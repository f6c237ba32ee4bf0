"""What every test relies on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

REAL_TIME = (
    "web/",
    "conformance/",
    "gateway/routes/test_calls.py",
    "gateway/routes/test_spoken_calls.py",
    "test_spoken.py",
)
"""Tests that talk in real time with browsers and other processes, on whatever machine there is."""

# A shell that starts the tests in the background has SIGINT ignored in them (POSIX, XCU 2.11), and
# that is inherited by every program they start; Ctrl-C is then not what it is for a person.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what runs in real time a second chance, which the report then tells (R)."""
    for item in items:
        where = item.path.relative_to(Path(__file__).parent).as_posix()
        if where.startswith(REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=1))
