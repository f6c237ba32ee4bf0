"""What has come and is not worked off: its cost, and the bound for all together."""

from __future__ import annotations

import pytest

from realtime.transports.incoming import EXEMPT, OVERHEAD, Incoming, cost


@pytest.mark.parametrize(
    ("message", "bytes"), [(b"", 0), ("", 0), (b"abc", 3), ("abc", 3), ("\U0001f399", 4), ("é", 4)]
)
def test_a_message_costs_what_it_takes_and_something_beside(message, bytes):
    assert cost(message) == OVERHEAD + bytes


def test_who_adds_to_what_is_too_much_is_told_and_nobody_else():
    incoming = Incoming(10 * EXEMPT)
    assert incoming.change(0, 9 * EXEMPT)
    assert not incoming.change(0, 2 * EXEMPT)
    assert incoming.change(0, EXEMPT), "any peer may have so much"
    assert incoming.change(9 * EXEMPT, 8 * EXEMPT + 1), "it becomes less"
    assert not incoming.change(8 * EXEMPT + 1, 8 * EXEMPT + 2)
    for held in (2 * EXEMPT, EXEMPT, 8 * EXEMPT + 2):
        assert incoming.change(held, 0)
    assert incoming.bytes == 0
