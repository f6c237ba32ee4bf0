"""The plain PCM protocol (`/v1/pcm`) from the client's side: audio out, typed events in.

    async with connect("ws://127.0.0.1:8765") as voice:
        await voice.send(pcm)              # as it comes from the microphone
        async for event in voice:
            match event:
                case Partial(delta=delta):
                    print(delta, end="", flush=True)
                case Final():
                    break

Nothing is queued without a bound: unread events stop the reading from the socket, and `send`
waits while the socket is full. Send and read in two tasks, as a microphone and a screen would.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Literal

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from client.errors import ConnectionLost, ServerBusy, ServerUnreachable
from client.events import Error, Event, Final, Ready, decode, encode
from client.opening import address, dial, elsewhere, greeting, place

Encoding = Literal["s16le", "mulaw", "alaw"]
TurnDetection = Literal["vad", "manual"]

RATES = (8000, 16000, 24000, 44100, 48000)
MAX_BINARY = 64 * 1024  # bytes in one message; the server takes up to 1 MiB
RETRYABLE = (1001, 1006, 1011, 1012, 1013)  # close codes after which a new connection can help
DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds between attempts to reconnect


class Voice:
    """One connection: speak with `send`, read the events with `async for`.

    The iteration yields Ready first and ends when the connection is closed in order; it raises
    ConnectionLost when it ends otherwise. One task may iterate while another one sends.
    """

    def __init__(self, socket: ClientConnection, ready: Ready) -> None:
        self.socket = socket
        self.ready = ready
        """What the server said first: session, resume secret, model, rate."""
        self.unread: list[Event] = [ready]
        self.fatal: Error | None = None
        self.turn: int | None = None
        """The last turn of which the end has come."""

    async def send(self, pcm: bytes | bytearray | memoryview) -> None:
        """Send audio in the connection's rate and encoding, any number of bytes."""
        octets = memoryview(pcm).cast("B")
        for start in range(0, len(octets), MAX_BINARY):
            await self.write(octets[start : start + MAX_BINARY])

    async def text(self, text: str) -> None:
        """Give a written instruction for the turn being spoken, or the next one."""
        await self.write(encode("text", text=text))

    async def instruction(self, text: str) -> None:
        """Give a standing instruction for every further turn; an empty one ends it."""
        await self.write(encode("instruction", text=text))

    async def commit(self) -> None:
        """End the utterance now and have it answered, without waiting for silence."""
        await self.write(encode("commit"))

    async def respond(self) -> None:
        """Have what was said and written answered now; also text alone."""
        await self.write(encode("respond"))

    async def cancel(self) -> None:
        """Stop the answer; what was delivered of it stays in the conversation."""
        await self.write(encode("cancel"))

    async def clear(self) -> None:
        """Forget what was said and written since the last turn."""
        await self.write(encode("clear"))

    async def played(self, turn: int, chars: int) -> None:
        """Tell that the user has seen or heard the first `chars` characters of an answer."""
        await self.write(encode("played", turn=turn, chars=chars))

    async def reset(self) -> None:
        """Forget the whole conversation."""
        await self.write(encode("reset"))

    async def ping(self) -> None:
        """Ask for a Pong, which comes after the events of everything sent before."""
        await self.write(encode("ping"))

    async def close(self) -> None:
        """Close the connection in order; the conversation can be resumed for a while."""
        await self.socket.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event; cancelling the wait loses nothing."""
        if self.unread:
            return self.unread.pop()
        while True:
            try:
                message = await self.socket.recv()
            except ConnectionClosed:
                if self.socket.close_code == 1000:
                    raise StopAsyncIteration from None
                raise self.lost() from None
            event = decode(message) if isinstance(message, str) else None
            if isinstance(event, Error) and event.fatal:
                self.fatal = event
            if isinstance(event, Final):
                self.turn = event.turn
            if event is not None:
                return event

    async def write(self, message: str | memoryview) -> None:
        """Send one message, waiting while the socket is full."""
        try:
            await self.socket.send(message)
        except ConnectionClosed:
            raise self.lost() from None

    def lost(self) -> ConnectionLost:
        """Say how the connection ended."""
        code = self.socket.close_code or 1006
        explanation = self.fatal.message if self.fatal else ""
        return ConnectionLost(code, self.socket.close_reason or "", explanation=explanation)


@asynccontextmanager
async def connect(
    url: str,
    *,
    rate: int = 16000,
    encoding: Encoding = "s16le",
    conversation: str | None = None,
    turn: int | None = None,
    turn_detection: TurnDetection = "vad",
    key: str | None = None,
    ca: str | None = None,
    open_timeout: float = 10.0,
) -> AsyncIterator[Voice]:
    """Connect and wait until the server is ready; close in order at the end.

    `url` may leave out the path (`/v1/pcm`). `conversation` is `ready.resume` of an earlier
    connection, and `turn` its `voice.turn`: an answer of which it had not all is then given anew.
    With `turn_detection="manual"` nothing ends an utterance but `commit`. `key` is an API key,
    where the server needs one; `ca` is a file of certificates (PEM) to trust beside those of the
    system. Raises ServerUnreachable, ServerBusy or Refused, and ValueError for an address
    or option that is none.
    """
    options = {"rate": str(rate), "encoding": encoding, "turn_detection": turn_detection}
    if rate not in RATES:
        raise ValueError(f"rate must be one of {', '.join(map(str, RATES))}, not {rate!r}")
    if conversation is not None:
        options["conversation"] = conversation
    if turn is not None:
        options["turn"] = str(turn)
    socket = await dial(address(url, options), open_timeout, key=key, ca=ca)
    try:
        async with asyncio.timeout(open_timeout):
            ready = await greeting(socket)
    except TimeoutError:
        await socket.close()
        raise ServerUnreachable(
            f"{place(url)} accepted but did not get ready{elsewhere(url)}"
        ) from None
    except BaseException:
        await socket.close()
        raise
    try:
        yield Voice(socket, ready)
    finally:
        await socket.close()


async def reconnect(
    url: str,
    *,
    rate: int = 16000,
    encoding: Encoding = "s16le",
    conversation: str | None = None,
    turn_detection: TurnDetection = "vad",
    key: str | None = None,
    ca: str | None = None,
    delays: Iterable[float] = DELAYS,
) -> AsyncIterator[Voice]:
    """Yield a connection, and after each loss a new one in the same conversation.

        async for voice in reconnect(url):
            try:
                await talk(voice)
            except ConnectionLost:
                continue

    An answer of which not all has come is given anew, from its start, as the next turn. It ends by
    itself once a connection was closed in order, or for a reason that a new one would
    meet again. Between failing attempts it waits `delays`, or longer if the server asks for it,
    and then raises what the last attempt raised.
    """
    delays = tuple(delays)
    waits = iter(delays)
    turn = 0 if conversation is None else None
    while True:
        try:
            async with connect(
                url,
                rate=rate,
                encoding=encoding,
                conversation=conversation,
                turn=turn if conversation else None,
                turn_detection=turn_detection,
                key=key,
                ca=ca,
            ) as voice:
                conversation, waits = voice.ready.resume, iter(delays)
                yield voice
                turn = turn if voice.turn is None else voice.turn
                await voice.socket.close()
                if voice.socket.close_code not in RETRYABLE:
                    return
        except (ServerUnreachable, ServerBusy) as error:
            delay = next(waits, None)
            if delay is None:
                raise
            asked = error.retry_after if isinstance(error, ServerBusy) else None
            await asyncio.sleep(max(delay, asked or 0.0))
