"""The pump between one peer and its session: the only place where time and sockets meet turns.

One rule: effects are applied without an await between `receive` and the last of them, so two
events can never interleave. The reader is the task that calls `run`; beside it there are one
writer and one task per live answer, all in one group, so nothing outlives the connection.

    transport.receive -> codec.decode -> happen -> session.receive
                                           | effects
                                           +-> outbox -> writer -> transport.send
                                           +-> respond: engine.generate -> happen ...
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import assert_never

import structlog

from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.api import Engine, Request
from realtime.errors import (
    BadMessage,
    Busy,
    EngineError,
    LimitReached,
    RealtimeError,
    SlowPeer,
    TooMany,
)
from realtime.gateway.access.limits import Allowance
from realtime.gateway.access.settings import LimitsConfig
from realtime.gateway.intake import Intake
from realtime.gateway.latency import Latency
from realtime.gateway.outbox import Outbox
from realtime.gateway.settings import ConnectionConfig
from realtime.gateway.silence import Silence
from realtime.metrics import Metrics
from realtime.protocols import Codec, Reply
from realtime.session.events import (
    AudioReceived,
    Cancel,
    Confirm,
    Emit,
    Final,
    Generate,
    Input,
    LimitsLeft,
    Notice,
    PeerCame,
    PeerLeft,
    PeerLost,
    ResponseEnded,
    ResponseFailed,
    Role,
    TextDelta,
    Trouble,
)
from realtime.session.session import Session
from realtime.transports.base import Transport
from realtime.transports.incoming import SLICE_S

LARGE = 64 << 10  # bytes; a longer message is worked off in pieces, others get their turn between
INTERNAL = "Something went wrong on our side; it has been logged."

log = structlog.get_logger()


class Connection:
    """One peer's connection, from greeting to close."""

    group: asyncio.TaskGroup
    writer: asyncio.Task[None]

    def __init__(
        self,
        transport: Transport,
        codec: Codec,
        session: Session,
        engine: Engine,
        *,
        metrics: Metrics,
        config: ConnectionConfig,
        allowance: Allowance | None = None,
    ) -> None:
        self.transport = transport
        self.codec = codec
        self.session = session
        self.engine = engine
        self.metrics = metrics
        self.config = config
        self.loop = asyncio.get_running_loop()
        clock = self.loop.time
        self.allowance = allowance or Allowance(LimitsConfig(), clock)
        self.intake = Intake(config.messages_per_minute, self.allowance, clock)
        self.outbox = Outbox(messages=config.outbox_messages, size=config.outbox_bytes)
        self.responses: dict[str, asyncio.Task[None]] = {}
        self.latency = Latency(metrics, clock)
        self.silence = Silence(config.idle_s, config.idle_grace_s, clock())
        self.timer: asyncio.TimerHandle | None = None
        """Looks whether the peer is there; at the end, whether it takes its last messages."""
        self.speculation: str | None = None
        self.left = False
        self.draining = False
        self.closing = (1000, "")

    async def run(self, greeting: Iterable[Notice], *, had: int | None = None) -> None:
        """Serve the peer until it or we close; on return nothing of it runs any more.

        `had` is the last turn whose end the peer knows of, if it says so.
        """
        try:
            async with asyncio.TaskGroup() as self.group:
                self.writer = self.group.create_task(self.write())
                self.watch(self.config.idle_s)
                for notice in greeting:
                    self.tell(notice)
                self.happen(PeerCame(had))
                try:
                    await self.read()
                finally:
                    self.leave(1001, "")
                    self.writer.cancel()
        finally:
            if self.timer is not None:
                self.timer.cancel()
            # A task that was cancelled refers to its frame, and so to us: nothing of a connection
            # is to wait for the garbage collector.
            del self.group, self.writer

    # ---- in -------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Take the peer's messages until there are no more; after we left, to no effect."""
        worked = 0.0
        while (message := await self.next()) is not None:
            begun = time.perf_counter()
            self.silence.heard_at = self.loop.time()
            if not self.left:
                await self.take(message)
            worked += time.perf_counter() - begun
            if worked > SLICE_S:  # `next` waits for nothing while there are messages
                worked = 0.0
                await asyncio.sleep(0)

    async def next(self) -> bytes | str | None:
        """Wait for the next message, first until the peer has taken what it is due."""
        if self.outbox.crowded:
            try:
                await self.outbox.room(self.config.stall_s)
            except SlowPeer:
                self.give_up()
        return await self.transport.receive()

    async def take(self, message: bytes | str) -> None:
        """Work a message off."""
        try:
            if wait := self.intake.count(len(message)):
                await asyncio.sleep(wait)
            for event in self.codec.decode(message):
                if self.left:
                    return
                if isinstance(event, Reply):
                    self.reply(event.messages)
                elif self.intake.hears(event):
                    self.happen(event)
                elif trouble := self.intake.complaint(event):
                    self.tell(trouble)
                if len(message) > LARGE:
                    await asyncio.sleep(0)
        except BadMessage as error:
            self.reply(self.codec.refuse(error))
            self.metrics.errors.labels(error.code).inc()
        except RealtimeError as error:
            self.fail(error.code, str(error), error.close_code)
        except Exception:
            log.exception("a message could not be decoded")
            self.fail("internal_error", INTERNAL, 1011)

    def complain(self, code: str, message: str) -> None:
        """Tell a peer that something which is no message of the protocol cannot be used."""
        try:
            self.intake.count()
        except TooMany as error:
            self.fail(error.code, str(error), error.close_code)
        if not self.outbox.crowded:
            self.tell(Trouble(code, message))

    def reply(self, messages: Iterable[bytes | str]) -> None:
        """Answer the peer without asking the session."""
        for message in messages:
            self.outbox.put(message)
        if self.outbox.overflowed:
            self.give_up()

    def happen(self, event: Input) -> None:
        """Give the session one fact, do all that it orders, and see whether we go on."""
        self.apply(event)
        if self.left:
            return
        if self.outbox.overflowed:
            self.give_up()
        elif self.draining and self.session.response is None:
            self.leave(1001, "going away")

    def give_up(self) -> None:
        """Leave a peer that does not read."""
        self.metrics.slow_peers.inc()
        self.leave(SlowPeer.close_code, SlowPeer.code)
        self.writer.cancel()  # it hangs in a send that nobody reads

    def apply(self, event: Input) -> None:
        """Give the session one fact and do all that it orders."""
        if self.left:
            return
        try:
            effects = self.session.receive(event)
        except Exception:
            log.exception("the session failed", event=type(event).__name__)
            self.collapse()
            return
        if heard := isinstance(event, AudioReceived):
            self.metrics.audio_seconds.inc(event.pcm.size / SAMPLE_RATE)
        for effect in effects:
            match effect:
                case Emit(notice):
                    self.tell(self.latency.timed(notice))
                case Generate(request, role):
                    answer = self.group.create_task(self.respond(request, role))
                    self.responses[request.id] = answer
                    if role == "speculation":
                        self.speculation = request.id
                case Confirm(response):
                    self.speculation = None
                    self.engine.confirm(response)
                    self.allowance.confirm_response()
                    self.metrics.speculations.labels("kept").inc()
                case Cancel(response):
                    if (task := self.responses.pop(response, None)) is not None:
                        task.cancel()
                    if response == self.speculation:
                        self.speculation = None
                        self.metrics.speculations.labels("lost").inc()
                    elif heard:
                        self.metrics.barge_ins.inc()
                case _:
                    assert_never(effect)

    # ---- answers --------------------------------------------------------------------------------

    async def respond(self, request: Request, role: Role = "response") -> None:
        """Pass the engine's answer to the session, piece by piece."""
        try:
            if role == "speculation":
                self.allowance.check_response()
            elif request.priority != "low":  # a transcript is no answer
                self.allowance.take_response()
            await self.relay(request)
        except Busy as error:
            message = f"{error} Try again in {error.retry_after:g} s."
            self.happen(ResponseFailed(request.id, error.code, message))
        except (EngineError, LimitReached) as error:
            self.happen(ResponseFailed(request.id, error.code, str(error)))
        except Exception:
            # ModelError comes here too: its text, with the worker's last words, is the operator's.
            log.exception("the engine failed", response=request.id)
            self.happen(ResponseFailed(request.id, "internal_error", INTERNAL))
        finally:
            self.responses.pop(request.id, None)

    async def relay(self, request: Request) -> None:
        """Turn deltas into inputs; leaving closes the engine's iterator."""
        async with aclosing(self.engine.generate(request)) as deltas:
            async for delta in deltas:
                self.happen(TextDelta(request.id, delta.tokens, delta.text))
                if delta.finish is not None:
                    self.happen(ResponseEnded(request.id, delta.finish, delta.usage))
                    return
                # Pieces that are already there come without a pause; let the writer have its turn.
                await asyncio.sleep(0)
        raise EngineError("The engine stopped before the end of the answer.")

    # ---- out ------------------------------------------------------------------------------------

    def tell(self, notice: Notice) -> None:
        """Put a notice into the outbox."""
        for message in self.codec.encode(notice):
            self.outbox.put(message)
        self.metrics.note(notice)
        if isinstance(notice, Final) and (limits := self.allowance.limits()):
            self.tell(LimitsLeft(limits))

    async def write(self) -> None:
        """Send what is told, in order; close at the end."""
        try:
            while (message := await self.outbox.get()) is not None:
                await self.transport.send(message)
                self.outbox.sent = not self.outbox.waiting
        finally:
            await self.transport.close(*self.closing)

    # ---- the end --------------------------------------------------------------------------------

    def leave(self, code: int, reason: str) -> None:
        """Let go of the conversation now; close once the peer has had what waits for it."""
        self.hush()
        if not self.left:
            self.end(code, reason)

    def fail(self, code: str, message: str, close_code: int) -> None:
        """Tell the peer why this connection cannot go on, and leave."""
        self.hush()
        self.tell(Trouble(code, message, fatal=True))
        self.leave(close_code, code)

    def collapse(self) -> None:
        """Leave a session that is broken: it is not asked any more."""
        self.tell(Trouble("internal_error", INTERNAL, fatal=True))
        self.end(1011, "internal_error")

    def drain(self) -> None:
        """Leave as soon as no answer is under way."""
        self.draining = True
        if self.session.response is None:
            self.leave(1001, "going away")

    def hush(self) -> None:
        """Stop the answer; whether it is asked for anew depends on how the peer went."""
        self.apply(PeerLeft() if self.transport.left else PeerLost(sent=self.outbox.sent))

    def end(self, code: int, reason: str) -> None:
        """Hear and answer nothing more; close behind the last message."""
        self.left = True
        self.closing = (code, reason)
        for answer in self.responses.values():
            answer.cancel()
        self.responses.clear()
        self.outbox.end()
        self.call_later(self.config.flush_s, self.writer.cancel)

    # ---- silence of the wire --------------------------------------------------------------------

    def watch(self, seconds: float) -> None:
        """Look in `seconds` whether the peer is still there."""
        self.call_later(seconds, self.check_idle)

    def check_idle(self) -> None:
        """Ask a silent peer whether it is there; leave when it does not show."""
        if self.left:
            return
        self.silence.heard(self.transport.heard_at)
        look = self.silence.look(self.loop.time(), busy=bool(self.responses))
        if look is None:
            self.leave(1001, "idle")
            return
        if look.question:
            self.tell(Trouble("idle", look.question))
        self.watch(look.again_in)

    def call_later(self, seconds: float, call: Callable[[], object]) -> None:
        """Call a function in a while, in place of what was to be called before."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(seconds, call)
