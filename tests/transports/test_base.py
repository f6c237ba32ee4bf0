"""Every transport has what the pump wants, and the one of the tests too."""

from __future__ import annotations

import inspect

import pytest
from fakes import MemoryPeer

from realtime.transports.base import Transport
from realtime.transports.webrtc.event_stream import EventStream
from realtime.transports.webrtc.peer import PeerTransport
from realtime.transports.websocket import Signs, SocketTransport


class Socket:
    """As much of a WebSocket as making a transport needs."""

    def __init__(self) -> None:
        self.scope = {"state": {"signs": Signs()}}


MAKERS = [
    pytest.param(lambda: SocketTransport(Socket()), id="websocket"),
    pytest.param(lambda: PeerTransport(EventStream()), id="webrtc"),
    pytest.param(MemoryPeer, id="memory"),
]


@pytest.mark.parametrize("make", MAKERS)
async def test_a_transport_has_all_that_the_pump_uses(make):
    transport = make()
    for name in ("receive", "send", "close"):
        wanted = list(inspect.signature(getattr(Transport, name)).parameters)[1:]
        method = getattr(transport, name)
        assert inspect.iscoroutinefunction(method)
        assert list(inspect.signature(method).parameters) == wanted
    assert isinstance(transport.heard_at, float)
    assert transport.left is False
