"""The worker's loop without its socket: messages in, steps of the model, messages out.

An error belongs to the one answer that it happened in; the others go on.
"""

from __future__ import annotations

import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from realtime.engine.api import Clip, Delta, Finish, Logprob, Usage
from realtime.engine.detokenise import Detokeniser, Fragment
from realtime.engine.steps import LoadedModel, Part, Sampled, Sequence
from realtime.engine.worker import messages
from realtime.engine.worker.scheduler import Scheduler, SchedulerConfig
from realtime.errors import Busy, EngineError, RealtimeError

CLIP_BYTES = 256 << 20
"""Samples kept by clip id, over two hours; the least recently used goes first."""


@dataclass(slots=True)
class Output:
    """What becomes of a sequence's tokens: text, on its way to the gateway."""

    sequence: Sequence
    detokeniser: Detokeniser
    limit: int
    """Tokens of the answer at most."""
    told: bool = False
    """Whether a token of it was told in this worker's life."""
    logprobs: list[Logprob] = field(default_factory=list)
    """Of tokens that are held back until they make a whole character."""

    def take_logprobs(self, tokens: tuple[int, ...]) -> tuple[Logprob, ...]:
        """Give those of the tokens that go out now."""
        out = tuple(self.logprobs[: len(tokens)])
        del self.logprobs[: len(tokens)]
        return out


class EngineCore:
    """Every answer that this worker is at."""

    def __init__(
        self,
        model: LoadedModel,
        config: SchedulerConfig,
        send: Callable[[messages.FromWorker], None],
        *,
        clip_bytes: int = CLIP_BYTES,
    ) -> None:
        self.model = model
        self.scheduler = Scheduler(config)
        self.send = send
        self.outputs: dict[int, Output] = {}
        self.clips = ClipStore(clip_bytes)

    def receive(self, message: messages.ToWorker) -> None:
        """Act on a message of the gateway."""
        match message:
            case messages.Hear(id, pcm):
                self.clips.put(Clip(id, np.frombuffer(pcm, "<i2")))
            case messages.Generate(serial):
                try:
                    self._begin(message)
                except Exception as error:
                    self._blame(serial, error)
            case messages.Start():
                raise EngineError("this worker was started before")
            case messages.Cancel(serial):
                self._forget(serial)
            case messages.Confirm(serial):
                self.scheduler.confirm(serial)
            case _:
                assert_never(message)

    def step(self) -> bool:
        """Run one step of the model; tell whether there was one to run."""
        step = self.scheduler.next()
        if step is None:
            return False
        self.model.runner.move(step.moves)
        self._run(step.parts)
        return True

    def _begin(self, wanted: messages.Generate) -> None:
        """Take an answer in, or say which of its clips are missing."""
        clips, missing = self.clips.get(messages.names_of(wanted))
        if missing:
            self.send(messages.Missing(wanted.serial, missing))
            return
        request = messages.request_of(wanted, clips)
        prompt = self.model.prompts.build(request)
        sequence = Sequence(
            wanted.serial,
            prompt,
            request.sampling,
            request.prefix,
            conversation=request.conversation,
            low=request.priority == "low",
            alone=wanted.alone,
        )
        detokeniser = Detokeniser(self.model.spelling, request.prefix)
        limit = min(request.sampling.max_tokens, self.model.context - len(prompt.ids))
        output = Output(sequence, detokeniser, limit)
        if sequence.said >= limit:
            self._tell(output, Fragment((), ""), "length", sequence.said)
            return
        self.scheduler.add(sequence)
        self.outputs[sequence.serial] = output
        self.model.runner.begin(sequence)

    def _run(self, parts: tuple[Part, ...]) -> None:
        """Run parts of a step together; where that fails, each on its own."""
        if unheard := tuple(part.serial for part in parts if not self.outputs[part.serial].told):
            # Should the process die now, it is these that it died at.
            self.send(messages.Begun(unheard))
        try:
            said = self.model.runner.run(parts) if parts else {}
        except Exception as error:
            if len(parts) == 1:
                self._blame(parts[0].serial, error)
                return
            for part in parts:
                self._run((part,))
            return
        for part in parts:
            try:
                self._done(part, said)
            except Exception as error:
                self._blame(part.serial, error)

    def _done(self, part: Part, said: Mapping[int, Sampled | EngineError]) -> None:
        """Record one answer's part of a step, and the token that it brought."""
        if not part.last:
            self.scheduler.done((part,), {})
            return
        news = said[part.serial]
        if isinstance(news, EngineError):
            raise news
        ended = self._record(part.serial, news)
        ends = frozenset({part.serial} if ended else ())
        self.scheduler.done((part,), {part.serial: news.token}, ends)
        if ended:
            self._forget(part.serial)

    def _record(self, serial: int, said: Sampled) -> bool:
        """Send what a new token makes whole; tell whether it is the answer's last."""
        output = self.outputs[serial]
        output.told = True
        before = output.sequence.said
        if said.token in self.model.ends:
            self._tell(output, output.detokeniser.finish(), "stop", before)
            return True
        if said.logprob:
            output.logprobs.append(said.logprob)
        fragment = output.detokeniser.push(said.token)
        if before + 1 == output.limit:
            self._tell(output, fragment or output.detokeniser.finish(), "length", before + 1)
            return True
        # Also when nothing is whole: the gateway then knows that the step was survived.
        fragment = fragment or Fragment((), "")
        logprobs = output.take_logprobs(fragment.tokens)
        self.send(messages.Piece(serial, Delta(fragment.tokens, fragment.text, logprobs=logprobs)))
        return False

    def _tell(self, output: Output, last: Fragment, finish: Finish, count: int) -> None:
        """Send the last piece of an answer of so many tokens."""
        sequence = output.sequence
        size = len(sequence.prompt.ids)
        usage = Usage(size, min(sequence.cached or 0, size), count)
        logprobs = output.take_logprobs(last.tokens)
        self.send(
            messages.Piece(sequence.serial, Delta(last.tokens, last.text, finish, usage, logprobs))
        )

    def _forget(self, serial: int) -> None:
        """Let go of an answer, whatever its state."""
        self.scheduler.cancel(serial)
        self.outputs.pop(serial, None)
        self.model.runner.free(serial)

    def _blame(self, serial: int, error: Exception) -> None:
        """End an answer with the error that happened in it."""
        if not isinstance(error, RealtimeError):
            traceback.print_exception(error, file=sys.stderr)
            error = EngineError(f"the engine failed: {type(error).__name__}: {error}")
        # What was computed may be what it failed by: nothing of it is used again.
        self.scheduler.cancel(serial, keep=False)
        self._forget(serial)
        retry_after = error.retry_after if isinstance(error, Busy) else 0.0
        self.send(messages.Failed(serial, error.code, str(error), retry_after))


class ClipStore:
    """Clips by id within a budget of bytes; the least recently used goes first."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.bytes = 0
        self.clips: OrderedDict[str, Clip] = OrderedDict()

    def put(self, clip: Clip) -> None:
        """Keep a clip; one that is here already stays as it is."""
        if clip.id in self.clips:
            self.clips.move_to_end(clip.id)
            return
        self.clips[clip.id] = clip
        self.bytes += clip.pcm.nbytes
        while self.bytes > self.budget:
            _, oldest = self.clips.popitem(last=False)
            self.bytes -= oldest.pcm.nbytes

    def get(self, ids: list[str]) -> tuple[dict[str, Clip], tuple[str, ...]]:
        """Give the clips that are here, and the ids of those that are not."""
        here = {id: self.clips[id] for id in ids if id in self.clips}
        for id in here:
            self.clips.move_to_end(id)
        return here, tuple(dict.fromkeys(id for id in ids if id not in here))
