"""An Engine over a worker process: starts it, watches it, starts it again when it dies.

A model that cannot be loaded at the start is an error, told once. One that was loaded before is
tried again for ever, whatever the reason: what is missing (memory, a descriptor, a mounted disk)
may come back, and until then `status` tells why there is no model.

When it dies, every answer in flight is asked for again with what was received as its prefix, so
that nothing is lost or repeated. No torch here: the gateway stays light and its event loop free.

When it dies at several prompts at once, each is from then on read alone, so that the one it died
at is found and no other is blamed.

Bounds: at most `slots + queue` live answers, then Busy. What a consumer has not taken yet of one
answer is kept as at most `live.PENDING` deltas; later ones are joined to the last, losing nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, assert_never

import structlog

from realtime.engine.api import STALLED, Delta, Loading, ModelInfo, Request
from realtime.engine.worker import messages
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.live import LiveRequest
from realtime.engine.worker.process import Command, WorkerProcess, command
from realtime.engine.worker.retry_after import RetryAfter
from realtime.errors import Busy, EngineError, ModelError, WorkerLost

RETRY_AFTER, RETRY_AFTER_LOADING = 1.0, 5.0
"""Seconds; until the first answer has ended, and while there is no model."""
MAX_BACKOFF = 30.0
"""Seconds at most between two tries to start a worker."""
KNOWN_CLIPS = 4096
"""Clip ids remembered as sent; a forgotten one is simply sent again."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one worker's life ended."""

    how: str
    """In words that anybody may read."""
    loaded: bool
    words: tuple[str, ...]
    """Its last lines in the log."""

    def hopeless(self, failed: int) -> str:
        """Say that so many lives were spent on loading, and what the last one said."""
        return "\n".join([f"loading failed {failed} times; {self.how}", *self.words])


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
        """Why there will never be an answer: no model was ever loaded, or the engine is closed."""
        self.live: dict[int, LiveRequest] = {}
        self.worker: WorkerProcess | None = None
        """The worker, once it is ready."""
        self.info: ModelInfo | None = None
        """The model that was loaded, now or before."""
        self.reason = ""
        """Why there is no model any more; words that anybody may read."""
        self.away = False
        """It was tried in vain so often that nobody is let wait for it."""
        self.restarts = 0
        self.retry_after = RetryAfter(RETRY_AFTER)
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

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Stream the answer, across deaths of the worker; closing the iterator cancels it."""
        answer = self._admit(request)
        since = asyncio.get_running_loop().time()
        try:
            if self.worker:
                await self._submit(answer, self.worker)
            while True:
                delta = await answer.take()
                if delta.finish:
                    now = asyncio.get_running_loop().time()
                    self.retry_after.ended(now - since, len(self.live))
                    yield delta
                    return
                yield delta
        finally:
            del self.live[answer.serial]
            if self.worker and answer.asked and not answer.over:
                self.worker.send(messages.Cancel(answer.serial))

    def confirm(self, request: str) -> None:
        """Raise an answer to normal priority, in this worker and in any that comes after it."""
        for answer in self.live.values():
            if answer.request.id == request and answer.request.priority == "low":
                answer.request = replace(answer.request, priority="normal")
                if self.worker and answer.asked and not answer.over:
                    self.worker.send(messages.Confirm(answer.serial))

    def _admit(self, request: Request) -> LiveRequest:
        """Take a request among the live ones, or raise why not."""
        self._refuse_when_failed()
        if self.away:
            text = f"there is no model at present: {self.reason}"
            raise Busy(text, retry_after=RETRY_AFTER_LOADING)
        if len(self.live) >= self.config.slots + self.config.queue:
            retry_after = self.retry_after.seconds if self.worker else RETRY_AFTER_LOADING
            raise Busy(f"{len(self.live)} answers are wanted already", retry_after=retry_after)
        if request.sampling.seed is None:
            # So that an answer goes on as it would have when the worker dies half-way.
            seed = secrets.randbits(63)
            request = replace(request, sampling=replace(request.sampling, seed=seed))
        answer = LiveRequest(next(self.serials), request)
        self.live[answer.serial] = answer
        return answer

    def _refuse_when_failed(self) -> None:
        """Raise why there will be no answer, anew each time so that no traceback grows."""
        if self.failure:
            raise type(self.failure)(str(self.failure)) from self.failure

    async def _submit(self, answer: LiveRequest, worker: WorkerProcess) -> None:
        """Ask the worker for an answer once it has room; a worker that is gone is not asked."""
        if await worker.room() and worker is self.worker and not answer.asked:
            self._ask(answer, worker)

    def _ask(self, answer: LiveRequest, worker: WorkerProcess) -> None:
        """Ask the worker for (the rest of) an answer, with the clips that it does not know."""
        new = [clip for id, clip in answer.clips.items() if id not in worker.known]
        try:
            question = messages.generate(answer.serial, answer.rest(), alone=answer.suspect)
            worker.send(*(messages.hear(clip) for clip in new), question)
        except EngineError as error:
            answer.fail(error)
            return
        answer.asked += 1
        worker.known |= dict.fromkeys(clip.id for clip in new)
        while len(worker.known) > KNOWN_CLIPS:
            del worker.known[next(iter(worker.known))]

    async def _supervise(self) -> None:
        """Run one worker after the other until the first one cannot be had."""
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
            self._fail(failure)

    async def _run_workers(self) -> None:
        """Start workers for ever; raise ModelError when none was ever loaded and none will be."""
        failed = 0
        while True:
            self._tell(Loading("starting", 0.0, self.reason))
            ending = await self._live()
            self.restarts += 1
            self.reason = ending.how
            failed = 0 if ending.loaded else failed + 1
            self.away = failed >= self.config.deaths
            if self.away and self.info is None:
                raise ModelError(ending.hopeless(failed))
            if self.away:
                self._fail(WorkerLost(f"there is no model at present: {self.reason}"))
            if failed:
                self._tell(Loading("starting", 0.0, self.reason))
                await asyncio.sleep(
                    min(self.config.backoff * 2 ** min(failed - 1, 16), MAX_BACKOFF)
                )

    async def _live(self) -> Ending:
        """See one worker from its start to its end; raise ModelError when it is the first."""
        worker: WorkerProcess | None = None
        try:
            worker = await WorkerProcess.open(self.command(), self.config)
            how = f"the worker ended: {await self._run(worker)}"
        except ModelError as error:
            if self.info is None:
                raise
            log.error("model cannot be loaded again", reason=str(error))
            how = "the model cannot be loaded any more; the log says why"
        except Exception as error:
            # A descriptor, memory or the program is missing, or what came was no message.
            log.exception("worker broke" if worker else "worker cannot be started")
            # No more than the system's words: the rest may name paths.
            why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            how = f"the worker {'broke' if worker else 'cannot be started'}: {why}"
        loaded = False
        if worker is not None:
            loaded = not worker.loading
            log.error("worker died", how=how, loaded=loaded, answers=len(self.live))
            self._bury(worker)
        return Ending(how, loaded, tuple(worker.words) if worker else ())

    async def _run(self, worker: WorkerProcess) -> str:
        """Serve one worker until it is gone; tell how it ended."""
        worker.patience = self.config.load_stall_after
        logging = asyncio.create_task(worker.forward_log())
        watching = asyncio.create_task(worker.watch(lambda silent: self._silent(worker, silent)))
        try:
            while (message := await worker.receive()) is not None:
                self._heard(message, worker)
        finally:
            self.worker = None
            watching.cancel()
            how = await worker.close()
            # The log ends by itself, now that nobody writes it.
            await asyncio.gather(watching, logging, return_exceptions=True)
        return how

    def _silent(self, worker: WorkerProcess, silent: bool) -> None:
        """Tell that the worker gives no sign of life, or does again."""
        log.warning(
            "worker is silent" if silent else "worker is heard again", pid=worker.process.pid
        )
        if worker.loading or self.info is None:
            return
        if silent:
            self._tell(Loading(STALLED, 1.0, "the worker gives no sign of life"))
        else:
            self._tell(self.info)

    def _heard(self, message: messages.FromWorker, worker: WorkerProcess) -> None:
        """Act on one message of the worker; news of answers that nobody wants are dropped."""
        match message:
            case messages.Progress(loading):
                self._tell(replace(loading, reason=self.reason))
            case messages.Ready(info):
                self._ready(info, worker)
            case messages.Unloadable(reason):
                raise ModelError(reason)
            case messages.Pulse():
                pass  # the worker process took note of it
            case messages.Begun(serials):
                worker.prefilling = frozenset(serials)
                for serial in worker.prefilling & self.live.keys():
                    self.live[serial].begun = True
            case messages.Piece(serial, delta):
                worker.prefilling = frozenset()
                if answer := self.live.get(serial):
                    answer.push(delta)
            case messages.Failed(serial):
                worker.prefilling = frozenset()
                if answer := self.live.get(serial):
                    error = messages.error_of(message)
                    if isinstance(error, Busy):
                        error.retry_after = self.retry_after.seconds
                    answer.fail(error)
            case messages.Missing(serial, clips):
                if answer := self.live.get(serial):
                    self._resend(answer, clips, worker)
            case _:
                assert_never(message)

    def _tell(self, state: ModelInfo | Loading) -> None:
        """Change the state and tell those who watch it."""
        self.state = state
        self.news.set()
        if self.on_loading and isinstance(state, Loading):
            self.on_loading(state)

    def _ready(self, info: ModelInfo, worker: WorkerProcess) -> None:
        """Ask the worker for everything that is wanted, the oldest first."""
        if self.restarts:  # whoever waits for the first tells of it
            log.info("model loaded again", **info.told())
        self.worker, self.info, self.reason, self.away = worker, info, "", False
        worker.loaded(self.config.patience(info.device))
        for answer in self.live.values():
            if not answer.over:
                self._ask(answer, worker)
        self._tell(info)

    def _resend(self, answer: LiveRequest, clips: tuple[str, ...], worker: WorkerProcess) -> None:
        """Send clips that the worker does not have any more, and ask again."""
        if answer.asked > 2:
            answer.fail(EngineError(f"the worker cannot hold the audio of this answer: {clips}"))
            return
        for clip in clips:
            worker.known.pop(clip, None)
        self._ask(answer, worker)

    def _fail(self, error: Exception) -> None:
        """End every answer that is wanted."""
        for answer in self.live.values():
            answer.fail(error)

    def _bury(self, worker: WorkerProcess) -> None:
        """Count a death of the worker against the answer that it was at.

        It died at a prompt, or else at one of those that have brought no token yet: an answer
        that was begun again reads as its prompt whatever it was killed by before. When there are
        several, each is from then on asked for alone; the next death tells which it is.
        """
        begun = {serial for serial, answer in self.live.items() if answer.begun}
        guilty = (worker.prefilling or begun) & self.live.keys()
        for serial, answer in self.live.items():
            if serial in guilty:
                answer.deaths += len(guilty) == 1 or answer.suspect
                answer.suspect = True
            answer.asked, answer.begun = 0, False
            if answer.deaths >= self.config.deaths:
                text = f"the worker died {answer.deaths} times at this answer"
                answer.fail(WorkerLost(text))
