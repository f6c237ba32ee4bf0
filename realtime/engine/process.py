"""An Engine over a worker process: starts it, watches it, starts it again when it dies.

When it dies, every answer in flight is asked for again with what was received as its prefix, so
that nothing is lost or repeated. No torch here: the gateway stays light and its event loop free.

When it dies at several prompts at once, each is from then on read alone, so that the one it died
at is found and no other is blamed.

Bounds: at most `slots + queue` live answers, then Busy. What a consumer has not taken yet of one
answer is kept as at most `PENDING` deltas; later ones are joined to the last, losing nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from types import TracebackType
from typing import Self, assert_never

import structlog

from realtime.engine import wire
from realtime.engine.api import Delta, Loading, ModelInfo, Request
from realtime.engine.link import Command, Link, WorkerConfig, command
from realtime.engine.pace import Pace
from realtime.errors import Busy, EngineError, ModelError, WorkerLost

__all__ = ["WorkerConfig", "WorkerEngine"]

PENDING = 64
"""Deltas kept apart for a consumer that lags."""
RETRY_AFTER, RETRY_AFTER_LOADING = 1.0, 5.0
"""Seconds; until the first answer has ended, and while there is no model."""
KNOWN_CLIPS = 4096
"""Clip ids remembered as sent; a forgotten one is simply sent again."""

log = structlog.get_logger(__name__)


class Answer:
    """One live answer: what was asked, what has come, what its consumer has not taken yet."""

    def __init__(self, serial: int, request: Request) -> None:
        self.serial = serial
        self.request = request
        self.clips = wire.clips_of(request)
        self.received: list[int] = []
        self.deaths = 0
        """Deaths of the worker while at this answer, since the last token."""
        self.asked = 0
        """How often the present worker was asked; 0 means that it does not know of this answer."""
        self.begun = False
        """Whether the present worker is at it and has brought no token of it yet."""
        self.suspect = False
        """Whether a worker died at this answer or at another that it was at, too."""
        self.pending: deque[Delta] = deque()
        self.error: Exception | None = None
        self.over = False
        """Nothing more will come: it finished or failed."""
        self.news = asyncio.Event()

    def rest(self) -> Request:
        """Give the request for what has not come yet."""
        return replace(self.request, prefix=(*self.request.prefix, *self.received))

    def push(self, delta: Delta) -> None:
        """Keep a delta for the consumer, joined to the last one when many wait."""
        if delta.tokens:
            self.received.extend(delta.tokens)
            self.deaths, self.begun, self.suspect = 0, False, False
        elif not delta.finish:
            return
        self.over = delta.finish is not None
        if len(self.pending) >= PENDING:
            last = self.pending.pop()
            delta = replace(
                delta,
                tokens=last.tokens + delta.tokens,
                text=last.text + delta.text,
                logprobs=last.logprobs + delta.logprobs,
            )
        self.pending.append(delta)
        self.news.set()

    def fail(self, error: Exception) -> None:
        """End with an error, which the consumer gets after what is pending."""
        if not self.over:
            self.error, self.over = error, True
            self.news.set()

    async def take(self) -> Delta:
        """Give the next delta, or raise what ended the answer."""
        while not self.pending:
            if self.error:
                raise self.error
            self.news.clear()
            await self.news.wait()
        return self.pending.popleft()


class WorkerEngine:
    """An Engine whose model runs in a process of its own; use with `async with`."""

    def __init__(
        self,
        config: WorkerConfig,
        *,
        on_loading: Callable[[Loading], None] | None = None,
        command: Command = command,
    ) -> None:
        self.config = config
        self.on_loading = on_loading
        self.command = command
        self.state: ModelInfo | Loading = Loading("starting", 0.0)
        self.failure: Exception | None = None
        """Why there will never be an answer (again)."""
        self.live: dict[int, Answer] = {}
        self.link: Link | None = None
        """The worker, once it is ready."""
        self.restarts = 0
        self.pace = Pace(RETRY_AFTER)
        self.serials = itertools.count(1)
        self.news = asyncio.Event()
        self.supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.supervisor = asyncio.create_task(self._supervise(), name="worker supervisor")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.supervisor is not None
        self.supervisor.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.supervisor

    def status(self) -> ModelInfo | Loading:
        """Tell what is loaded, or how far loading (again) has come."""
        return self.state

    async def ready(self) -> ModelInfo:
        """Wait until the model is loaded; raise ModelError when it never will be."""
        while True:
            self._refuse_when_failed()
            if isinstance(self.state, ModelInfo):
                return self.state
            self.news.clear()
            await self.news.wait()

    async def generate(self, request: Request) -> AsyncIterator[Delta]:
        """Stream the answer, across deaths of the worker; closing the iterator cancels it."""
        answer = self._admit(request)
        since = asyncio.get_running_loop().time()
        try:
            if self.link:
                await self._submit(answer, self.link)
            while True:
                delta = await answer.take()
                if delta.finish:
                    now = asyncio.get_running_loop().time()
                    self.pace.ended(now - since, len(self.live))
                    yield delta
                    return
                yield delta
        finally:
            del self.live[answer.serial]
            if self.link and answer.asked and not answer.over:
                self.link.send(wire.Cancel(answer.serial))

    def confirm(self, request: str) -> None:
        """Raise an answer to normal priority, in this worker and in any that comes after it."""
        for answer in self.live.values():
            if answer.request.id == request and answer.request.priority == "low":
                answer.request = replace(answer.request, priority="normal")
                if self.link and answer.asked and not answer.over:
                    self.link.send(wire.Confirm(answer.serial))

    def _admit(self, request: Request) -> Answer:
        """Take a request among the live ones, or raise why not."""
        self._refuse_when_failed()
        if len(self.live) >= self.config.slots + self.config.queue:
            retry_after = self.pace.retry_after if self.link else RETRY_AFTER_LOADING
            raise Busy(f"{len(self.live)} answers are wanted already", retry_after=retry_after)
        if request.sampling.seed is None:
            # So that an answer goes on as it would have when the worker dies half-way.
            seed = secrets.randbits(63)
            request = replace(request, sampling=replace(request.sampling, seed=seed))
        answer = Answer(next(self.serials), request)
        self.live[answer.serial] = answer
        return answer

    def _refuse_when_failed(self) -> None:
        """Raise why there will be no answer, anew each time so that no traceback grows."""
        if self.failure:
            raise type(self.failure)(str(self.failure)) from self.failure

    async def _submit(self, answer: Answer, link: Link) -> None:
        """Ask the worker for an answer once it has room; a worker that is gone is not asked."""
        if await link.room() and link is self.link and not answer.asked:
            self._ask(answer, link)

    def _ask(self, answer: Answer, link: Link) -> None:
        """Ask the worker for (the rest of) an answer, with the clips that it does not know."""
        new = [clip for id, clip in answer.clips.items() if id not in link.known]
        try:
            question = wire.ask(answer.serial, answer.rest(), alone=answer.suspect)
            link.send(*(wire.hear(clip) for clip in new), question)
        except EngineError as error:
            answer.fail(error)
            return
        answer.asked += 1
        link.known |= dict.fromkeys(clip.id for clip in new)
        while len(link.known) > KNOWN_CLIPS:
            del link.known[next(iter(link.known))]

    async def _supervise(self) -> None:
        """Run one worker after the other until one says that the model cannot be loaded."""
        failure: Exception = EngineError("the engine is closed")
        try:
            await self._run_workers()
        except ModelError as error:
            failure = error  # told once, by whoever waits for the model
            self._tell(Loading("failed", 0.0))
        except Exception as error:
            failure = EngineError(f"the engine broke: {error!r}")
            raise
        finally:
            self.failure = failure
            self.news.set()
            for answer in self.live.values():
                answer.fail(failure)

    async def _run_workers(self) -> None:
        """Start workers for ever; raise ModelError when loading is hopeless."""
        hopeless = 0
        while True:
            self._tell(Loading("starting", 0.0))
            link = await Link.open(self.command(self.config))
            how, loaded = await self._run(link)
            log.error("worker died", how=how, loaded=loaded, answers=len(self.live))
            self.restarts += 1
            self._bury(link)
            hopeless = 0 if loaded else hopeless + 1
            if hopeless >= self.config.deaths:
                words = "\n".join(link.words)
                raise ModelError(f"the worker died {hopeless} times while loading, {how}\n{words}")
            if hopeless:
                await asyncio.sleep(self.config.backoff * 2 ** (hopeless - 1))

    async def _run(self, link: Link) -> tuple[str, bool]:
        """Serve one worker until it is gone; tell how it ended and whether it ever was ready."""
        tasks = [asyncio.create_task(link.forward_log())]
        loaded = False
        try:
            while (message := await link.receive()) is not None:
                if isinstance(message, wire.Ready):
                    loaded = True
                    if self.config.stall_after:
                        tasks.append(asyncio.create_task(link.watch(self.config.stall_after)))
                self._heard(message, link)
        finally:
            self.link = None
            for task in tasks[1:]:
                task.cancel()
            how = await link.close()
            # The log ends by itself, now that nobody writes it.
            await asyncio.gather(*tasks, return_exceptions=True)
        return how, loaded

    def _heard(self, message: wire.FromWorker, link: Link) -> None:
        """Act on one message of the worker; news of answers that nobody wants are dropped."""
        match message:
            case wire.Progress(loading):
                self._tell(loading)
            case wire.Ready(info):
                self._ready(info, link)
            case wire.Unloadable(reason):
                raise ModelError(reason)
            case wire.Pong():
                link.pong.set()
            case wire.Begun(serials):
                link.reading = frozenset(serials)
                for serial in link.reading & self.live.keys():
                    self.live[serial].begun = True
            case wire.Piece(serial, delta):
                link.reading = frozenset()
                if answer := self.live.get(serial):
                    answer.push(delta)
            case wire.Failed(serial):
                link.reading = frozenset()
                if answer := self.live.get(serial):
                    error = wire.error_of(message)
                    if isinstance(error, Busy):
                        error.retry_after = self.pace.retry_after
                    answer.fail(error)
            case wire.Missing(serial, clips):
                if answer := self.live.get(serial):
                    self._resend(answer, clips, link)
            case _:
                assert_never(message)

    def _tell(self, state: ModelInfo | Loading) -> None:
        """Change the state and tell those who watch it."""
        self.state = state
        self.news.set()
        if self.on_loading and isinstance(state, Loading):
            self.on_loading(state)

    def _ready(self, info: ModelInfo, link: Link) -> None:
        """Ask the worker for everything that is wanted, the oldest first."""
        told = {name: getattr(info, name) for name in info.__slots__}
        log.info("model loaded", **told | {"memory": str(info.memory)})
        self.link = link
        for answer in self.live.values():
            if not answer.over:
                self._ask(answer, link)
        self._tell(info)

    def _resend(self, answer: Answer, clips: tuple[str, ...], link: Link) -> None:
        """Send clips that the worker does not have any more, and ask again."""
        if answer.asked > 2:
            answer.fail(EngineError(f"the worker cannot hold the audio of this answer: {clips}"))
            return
        for clip in clips:
            link.known.pop(clip, None)
        self._ask(answer, link)

    def _bury(self, link: Link) -> None:
        """Count a death of the worker against the answer that it was at.

        It died at a prompt, or else at one of those that have brought no token yet: an answer
        that was begun again reads as its prompt whatever it was killed by before. When there are
        several, each is from then on asked for alone; the next death tells which it is.
        """
        begun = {serial for serial, answer in self.live.items() if answer.begun}
        guilty = (link.reading or begun) & self.live.keys()
        for serial, answer in self.live.items():
            if serial in guilty:
                answer.deaths += len(guilty) == 1 or answer.suspect
                answer.suspect = True
            answer.asked, answer.begun = 0, False
            if answer.deaths >= self.config.deaths:
                text = f"the worker died {answer.deaths} times at this answer"
                answer.fail(WorkerLost(text))
