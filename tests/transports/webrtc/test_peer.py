"""A peer as a Transport: what waits is bounded, and every end lets go of whoever waits."""

from __future__ import annotations

import asyncio

import pytest
from aiortc import RTCPeerConnection
from aiortc.exceptions import InvalidStateError
from aiortc.jitterbuffer import JitterBuffer
from fakes import GUARD_S

from realtime.transports.incoming import OVERHEAD
from realtime.transports.webrtc import peer
from realtime.transports.webrtc.event_stream import EventStream
from realtime.transports.webrtc.peer import CHANNEL, MOST_CHANNELS, MOST_UNSENT, PeerTransport
from realtime.transports.webrtc.settings import WebRtcConfig


class Channel:
    """A data channel whose peer is the test."""

    def __init__(self, label: str = CHANNEL) -> None:
        self.label = label
        self.readyState = "open"
        self.bufferedAmount = 0
        self.bufferedAmountLowThreshold = 0
        self.listeners: dict = {}
        self.sent: list[str] = []

    def on(self, event: str, listener) -> None:
        self.listeners[event] = listener

    def send(self, text: str) -> None:
        if self.readyState != "open":
            raise InvalidStateError
        if len(text) > 10 * MOST_UNSENT:
            raise ValueError("too large for this peer")
        self.sent.append(text)
        self.bufferedAmount += len(text)

    def read(self) -> None:
        """Take all that was sent."""
        self.bufferedAmount = 0
        self.listeners["bufferedamountlow"]()


def opened(**how) -> tuple[PeerTransport, Channel]:
    transport, channel = PeerTransport(how.get("event_stream")), Channel()
    transport.open(channel)
    return transport, channel


async def soon(awaitable):
    async with asyncio.timeout(GUARD_S):
        return await awaitable


async def test_messages_come_in_order_and_then_the_end():
    transport, channel = opened()
    transport.put(b"\x01\x02")
    channel.listeners["message"]('{"type":"ping"}')
    assert [await soon(transport.receive()) for _ in range(2)] == [b"\x01\x02", '{"type":"ping"}']
    waiting = asyncio.create_task(transport.receive())
    await asyncio.sleep(0)
    channel.listeners["close"]()
    assert await soon(waiting) is None
    assert await soon(transport.receive()) is None


async def test_what_is_said_waits_for_the_channel():
    transport = PeerTransport(None)
    sending = asyncio.create_task(transport.send("hello"))
    await asyncio.sleep(0)
    assert not sending.done()
    channel = Channel()
    transport.open(channel)
    await soon(sending)
    assert channel.sent == ["hello"]


async def test_the_end_lets_go_of_who_waits_to_send():
    transport = PeerTransport(None)
    sending = asyncio.create_task(transport.send("hello"))
    await asyncio.sleep(0)
    await transport.close(1001, "going away")
    await soon(sending)


async def test_sending_waits_while_the_peer_does_not_read():
    transport, channel = opened()
    await soon(transport.send("x" * (MOST_UNSENT + 1)))
    second = asyncio.create_task(transport.send("y"))
    await asyncio.sleep(0)
    assert not second.done()
    channel.read()
    await soon(second)
    assert channel.sent[-1] == "y"


async def test_a_channel_that_closed_meanwhile_and_a_message_too_large_are_no_errors():
    transport, channel = opened()
    await soon(transport.send("x" * (10 * MOST_UNSENT + 1)))
    assert channel.sent == []
    channel.readyState = "closing"
    await soon(transport.send("hello"))
    assert channel.sent == []


async def test_without_a_channel_messages_are_kept_for_followers_and_nobody_waits():
    event_stream = EventStream()
    transport = PeerTransport(event_stream)
    for number in range(2_000):
        await soon(transport.send(str(number)))
    assert event_stream.kept[-1] == "1999"
    channel = Channel()
    transport.open(channel)
    await soon(transport.send("both"))
    assert (channel.sent, event_stream.kept[-1]) == (["both"], "both")


async def test_only_the_first_channel_of_our_name_is_ours():
    transport = PeerTransport(None)
    chat, ours, second = Channel("chat"), Channel(), Channel()
    for channel in (chat, ours, second):
        transport.open(channel)
    assert transport.channel is ours
    assert (chat.listeners, second.listeners) == ({}, {})


async def test_a_peer_may_not_open_channels_without_end():
    transport = PeerTransport(None)
    for _ in range(MOST_CHANNELS):
        transport.open(Channel("chat"))
    assert not transport.ended
    transport.open(Channel("chat"))
    assert transport.ended


async def test_a_peer_that_sends_more_than_is_worked_off_is_left(monkeypatch):
    monkeypatch.setattr(peer, "MOST_UNREAD", 1_000)
    transport, _ = opened()
    transport.put(bytes(900))
    assert not transport.ended
    transport.put("x" * 200)
    assert transport.ended
    assert await soon(transport.receive()) is None
    transport.put(b"late")
    assert len(transport.inbox) == 0


async def test_binary_is_complained_about_and_not_received():
    transport, channel = opened()
    complaints = []
    transport.complain = complaints.append
    channel.listeners["message"](b"\x00\x01")
    assert len(complaints) == 1
    assert len(transport.inbox) == 0


def test_ice_servers_are_those_of_the_settings_and_none_otherwise():
    assert peer.configuration(WebRtcConfig(), bundled=True).iceServers == []
    config = WebRtcConfig(
        ice_servers="stun:a.example turns:b.example?transport=tcp",
        ice_username="me",
        ice_credential="secret",
    )
    stun, turn = peer.configuration(config, bundled=False).iceServers
    assert (stun.urls, stun.username, stun.credential) == ("stun:a.example", None, None)
    assert (turn.urls, turn.username) == ("turns:b.example?transport=tcp", "me")
    assert turn.credential == "secret"


async def test_this_aiortc_has_the_insides_that_we_reach_for():
    connection = RTCPeerConnection()
    receiver = connection.addTransceiver("audio", direction="recvonly").receiver
    audio = peer.Audio(PeerTransport(None))
    peer.take_over(receiver, audio)
    assert receiver._RTCRtpReceiver__jitter_buffer is audio
    assert JitterBuffer(capacity=16).capacity == 16, "which Audio has, too"
    connection.createDataChannel(CHANNEL)
    assert connection.sctp._advertised_rwnd > 0
    await connection.close()


def test_another_aiortc_is_noticed():
    with pytest.raises(RuntimeError, match="jitter buffer"):
        peer.take_over(object(), None)


@pytest.mark.parametrize("message", ["", "x", "\U0001f399", b""])
def test_messages_that_say_nothing_are_bounded_too(message):
    transport = peer.PeerTransport(None)
    for _ in range(peer.MOST_UNREAD // OVERHEAD + 1):
        transport.put(message)
    assert transport.ended
    assert not transport.inbox
