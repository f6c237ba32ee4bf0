"""A scripted engine for tests: it answers what it is told to, and remembers what it was asked.

Nothing sleeps: a script waits only on `asyncio.Event`s that the test sets.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable

from realtime.engine.api import Delta, Finish, Loading, ModelInfo, Request, Usage

Step = Delta | Exception | asyncio.Event
"""What a script holds: a piece to say, an error to raise, a gate to wait at."""

Script = Callable[[Request], Iterable[Step] | str]
"""Maps a request to its answer: steps as they are, or a text that is said word by word."""

FAKE_MODEL = ModelInfo("fake", context=8192, parameters=0, dtype="none", device="none")
PROMPT_TOKENS = 10
"""What `usage` reports for every prompt; a fake counts nothing."""


class FakeEngine:
    """An Engine that plays a script; texts go word by word, one made-up token each.

    A text is resumed after `request.prefix` and cut at `sampling.max_tokens`, as by a real engine.
    """

    def __init__(self, script: Script | str = "Hello there.") -> None:
        self.script = script
        self.state: ModelInfo | Loading = FAKE_MODEL
        self.requests: list[Request] = []
        self.cancelled: list[str] = []
        """Ids of requests whose answer was closed before its end."""
        self.finished: list[str] = []
        """Ids of requests whose answer was told to its end, or failed."""
        self.confirmed: list[str] = []
        """Ids of requests that were raised to normal priority."""
        self.vocabulary: dict[str, int] = {}
        self.changed = asyncio.Event()

    def status(self) -> ModelInfo | Loading:
        """Tell `state`, which tests may set."""
        return self.state

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Play the script for this request."""
        self.requests.append(request)
        self.changed.set()
        ended = self.cancelled
        try:
            for step in self.steps(request):
                match step:
                    case Delta():
                        if step.finish is not None:
                            ended = self.finished  # nobody needs to ask for more
                        yield step
                    case asyncio.Event():
                        await step.wait()
                    case Exception():
                        ended = self.finished
                        raise step
            ended = self.finished
        finally:
            ended.append(request.id)
            self.changed.set()

    def confirm(self, request: str) -> None:
        """Write down that somebody waits for this request now."""
        self.confirmed.append(request)
        self.changed.set()

    async def until(self, condition: Callable[[FakeEngine], bool]) -> None:
        """Wait until the condition holds; looked at after each request, confirm and ending."""
        while not condition(self):
            self.changed.clear()
            await self.changed.wait()

    def steps(self, request: Request) -> Iterable[Step]:
        """Give the steps of the answer to a request."""
        answer = self.script if isinstance(self.script, str) else self.script(request)
        return self.say(answer, request) if isinstance(answer, str) else answer

    def say(self, text: str, request: Request) -> list[Delta]:
        """Cut a text into one delta per word, the last with finish and usage."""
        tokens = self.encode(text)
        limit = request.sampling.max_tokens
        finish: Finish = "stop" if len(tokens) <= limit else "length"
        kept = tokens[:limit]
        deltas = [Delta((token,), self.decode([token])) for token in kept[len(request.prefix) :]]
        last = deltas.pop() if deltas else Delta((), "")
        usage = Usage(PROMPT_TOKENS, cached_tokens=0, completion_tokens=len(kept))
        return [*deltas, Delta(last.tokens, last.text, finish, usage)]

    def encode(self, text: str) -> list[int]:
        """Give each word of a text, with the space before it, its made-up token."""
        words = re.findall(r"\s*\S+|\s+", text)
        return [self.vocabulary.setdefault(word, 1000 + len(self.vocabulary)) for word in words]

    def decode(self, tokens: Iterable[int]) -> str:
        """Give the text of made-up tokens."""
        words = {token: word for word, token in self.vocabulary.items()}
        return "".join(words[token] for token in tokens)
