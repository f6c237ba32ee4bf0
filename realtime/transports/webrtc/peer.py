"""One WebRTC peer as a Transport: its audio as bytes, the texts of its data channel as text.

aiortc does ICE, DTLS, SRTP and SCTP. Order, loss and Opus are ours (jitter.py, rtp_audio.py,
audio/opus.py): aiortc would hold 320 ms back for ever after the first loss, and start a thread per
peer to decode.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable

import structlog
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

from realtime.audio.pcm import Pcm, to_bytes
from realtime.transports.incoming import cost
from realtime.transports.webrtc.event_stream import EventStream
from realtime.transports.webrtc.jitter import Packet
from realtime.transports.webrtc.rtp_audio import RtpAudio
from realtime.transports.webrtc.sdp import BadOffer, Offer
from realtime.transports.webrtc.settings import WebRtcConfig

CHANNEL = "oai-events"
"""The data channel that OpenAI's clients open; any other is not ours."""

MOST_UNSENT = 64 << 10  # bytes that SCTP may hold for the peer; more waits in the outbox
MOST_UNREAD = 4 << 20  # bytes that may wait for the pump, which never waits for the peer
MOST_CHANNELS = 16  # data channels that one peer may open, ours and others
WATCH_S = 1.0  # between looks at a peer
LINGER_S = 1.0  # for the peer to take the last messages
CLOSE_S = 5.0

log = structlog.get_logger()


class PeerTransport:
    """What the pump sees of a peer."""

    heard_at = -math.inf  # messages come whole, and the pump notes when

    def __init__(self, event_stream: EventStream | None) -> None:
        self.event_stream = event_stream
        self.channel: RTCDataChannel | None = None
        self.complain: Callable[[str], None] = lambda _: None
        """Tell the peer that something it sent cannot be used."""
        self.inbox: deque[bytes | str] = deque()
        self.unread = 0
        self.channels = 0
        self.ended = False
        self.left = False
        """The peer hung up; of any other end nobody knows whether it was meant."""
        self.news = asyncio.Event()
        self.sendable = asyncio.Event()
        if event_stream is not None:
            self.sendable.set()

    # ---- the pump's side ------------------------------------------------------------------------

    async def receive(self) -> bytes | str | None:
        """Wait for the next message; None once the peer is gone or we closed."""
        while not self.inbox:
            if self.ended:
                return None
            self.news.clear()
            await self.news.wait()
        message = self.inbox.popleft()
        self.unread -= cost(message)
        return message

    async def send(self, message: bytes | str) -> None:
        """Send, waiting for the data channel and while the peer does not read."""
        text = message if isinstance(message, str) else message.decode()
        if self.event_stream is not None:
            self.event_stream.add(text)
        await self.sendable.wait()
        if self.channel is None or self.ended:
            return
        try:
            self.channel.send(text)
        except InvalidStateError:
            return
        except ValueError:
            log.warning("a message is larger than the peer takes", bytes=len(text))
        if self.channel.bufferedAmount > MOST_UNSENT:
            self.sendable.clear()

    async def close(self, code: int, reason: str) -> None:
        """Be over; the peer connection is closed by whoever has it."""
        self.end()

    # ---- the peer's side ------------------------------------------------------------------------

    def put(self, message: bytes | str) -> None:
        """Add what came; a peer that sends more than can be worked off is left."""
        if self.ended:
            return
        self.inbox.append(message)
        self.unread += cost(message)
        if self.unread > MOST_UNREAD:
            log.warning("a peer sent more than could be worked off")
            self.end()
        self.news.set()

    def end(self) -> None:
        """Receive and send nothing more."""
        self.ended = True
        self.inbox.clear()
        self.news.set()
        self.sendable.set()
        if self.event_stream is not None:
            self.event_stream.end()

    def open(self, channel: RTCDataChannel) -> None:
        """Take the peer's data channel, if it is the one for events and the first such."""
        self.channels += 1
        if self.channels > MOST_CHANNELS:
            log.warning("a peer opened too many data channels")
            self.end()
        if channel.label != CHANNEL or self.channel is not None:
            return
        self.channel = channel
        channel.bufferedAmountLowThreshold = MOST_UNSENT // 2
        channel.on("message", self.heard)
        channel.on("bufferedamountlow", self.sendable.set)
        channel.on("close", self.end)
        self.sendable.set()

    def heard(self, message: bytes | str) -> None:
        """Take a message of the data channel; audio does not come by it."""
        if isinstance(message, str):
            self.put(message)
        else:
            self.complain("The data channel takes text; audio comes over RTP.")


class Audio:
    """Stands where aiortc has its jitter buffer: takes each packet, gives nothing to decode."""

    capacity = 0

    def __init__(self, transport: PeerTransport) -> None:
        self.transport = transport
        self.audio = RtpAudio(asyncio.get_running_loop().time)

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Hear a packet; whatever its payload was found to be is in `_data`."""
        heard = Packet(packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload)
        self.put(self.audio.push(heard))
        return False, None

    def rest(self) -> None:
        """Hear silence if nothing comes; to be called once a second."""
        self.put(self.audio.rest())

    def put(self, pcm: Pcm) -> None:
        """Pass audio on."""
        if pcm.size:
            self.transport.put(to_bytes(pcm))


def take_over(receiver: RTCRtpReceiver, audio: Audio) -> None:
    """Let a receiver give its packets to us."""
    name = "_RTCRtpReceiver__jitter_buffer"
    if not hasattr(receiver, name):
        raise RuntimeError("this aiortc has no jitter buffer where 1.16 has it")
    setattr(receiver, name, audio)


class Peer:
    """One peer connection, from offer to close."""

    def __init__(self, offer: Offer, config: WebRtcConfig, *, event_stream: bool) -> None:
        self.offer = offer
        self.config = config
        silent = event_stream or offer.data is None
        self.transport = PeerTransport(EventStream() if silent else None)
        self.audio = Audio(self.transport)
        self.connection = RTCPeerConnection(configuration(config, bundled=offer.bundled))
        self.connection.on("datachannel", self.transport.open)
        self.connection.on("connectionstatechange", self.look)
        self.changed = asyncio.Event()
        self.watching: asyncio.TimerHandle | None = None

    async def answer(self) -> str:
        """Answer the offer, with every address at which we can be reached; raise BadOffer."""
        receiving = self.connection.addTransceiver("audio", direction="recvonly")
        only_opus(receiving)
        take_over(receiving.receiver, self.audio)
        try:
            description = RTCSessionDescription(self.offer.text(), "offer")
            await self.connection.setRemoteDescription(description)
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except Exception as error:
            # aiortc's parser takes what it is given on trust, and fails in many ways.
            log.debug("an offer cannot be used", error=repr(error))
            raise BadOffer("This offer cannot be understood.") from None
        return self.offer.answer(self.connection.localDescription.sdp, self.config.public_address)

    def look(self) -> None:
        """See what became of the connection."""
        if self.connection.connectionState in ("failed", "closed"):
            self.transport.end()
        self.changed.set()

    def watch(self) -> None:
        """See once a second to what no packet would tell."""
        self.audio.rest()
        # Nothing in aiortc bounds what a peer may send beyond the window that SCTP gave it.
        sctp = self.connection.sctp
        if sctp is not None and sctp._advertised_rwnd < 0:
            log.warning("a peer sent more than its window")
            self.end()
        self.watching = asyncio.get_running_loop().call_later(WATCH_S, self.watch)

    def hang_up(self) -> None:
        """End as the peer asks."""
        self.transport.left = True
        self.end()

    def end(self) -> None:
        """Be over now; whoever serves the peer closes it then."""
        self.transport.end()
        self.changed.set()

    async def connected(self) -> bool:
        """Wait until the peer is connected, or tell that it will not be."""
        while not self.transport.ended:
            if self.connection.connectionState == "connected":
                self.watch()
                return True
            self.changed.clear()
            await self.changed.wait()
        return False

    async def close(self) -> None:
        """Let the peer have its last messages, and free all that it had."""
        await self.flush()
        self.transport.end()
        if self.watching is not None:
            self.watching.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self.connection.close()

    async def flush(self) -> None:
        """Wait a little until the peer has taken what was sent."""
        channel = self.transport.channel
        if channel is None or channel.readyState != "open" or not channel.bufferedAmount:
            return
        empty = asyncio.Event()
        channel.bufferedAmountLowThreshold = 0
        channel.on("bufferedamountlow", empty.set)
        channel.on("close", empty.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await empty.wait()


def configuration(config: WebRtcConfig, *, bundled: bool) -> RTCConfiguration:
    """Give aiortc's words for our settings; without servers it is to ask none."""
    servers = [
        RTCIceServer(url, config.ice_username or None, config.ice_credential or None)
        if url.startswith("turn")
        else RTCIceServer(url)
        for url in config.ice_urls
    ]
    policy = RTCBundlePolicy.MAX_BUNDLE if bundled else RTCBundlePolicy.BALANCED
    return RTCConfiguration(iceServers=servers, bundlePolicy=policy)


def only_opus(transceiver: RTCRtpTransceiver) -> None:
    """Ask for Opus, whatever else the peer has."""
    capabilities = RTCRtpReceiver.getCapabilities("audio")
    assert capabilities is not None
    codecs = [codec for codec in capabilities.codecs if codec.mimeType.lower() == "audio/opus"]
    transceiver.setCodecPreferences(codecs)
