"""Where speech starts and stops: the policy; the voice-activity model is given.

One rule: every decision falls on the 20 ms grid of sample positions, so the same audio
gives the same events however it was cut, and no sample is ever handed over twice.

              speech for min_speech            silence for pause
    (idle) ------- Started -------> (speaking) ----- Paused ----> (paused)
       ^                                ^                            |  |
       |                                +---- Resumed: min_speech ---+  |
       +----------------- Ended: silence for hangover, or commit -------+

An utterance runs from `prefix_padding` before its first speech to `tail` after its last,
however long the hangover: what was frozen at the pause is what ends. Speech that fills the
window is handed over in parts (Continued) that join without gap or overlap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from realtime.audio.pcm import FRAME, FRAME_MS, SAMPLE_RATE, Pcm, samples_of
from realtime.audio.vad import Vad

QUIET_SPAN = 2 * SAMPLE_RATE  # how far back a full window looks for a place to be cut


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """When speech starts, pauses and ends; milliseconds, and seconds for the window."""

    prefix_padding_ms: int = 300
    """Audio kept from before speech began."""
    min_speech_ms: int = 80
    """Of speech, within twice that time; less is no speech."""
    pause_ms: int = 200
    """Silence after which an answer is asked for speculatively."""
    hangover_ms: int = 500
    """Silence that ends speech."""
    tail_ms: int = 200
    """Audio kept after speech, however long the hangover."""
    window_s: float = 30.0
    """Longer speech is handed over in parts."""
    automatic: bool = True
    """False: only a commit ends an utterance (push-to-talk)."""

    def __post_init__(self) -> None:
        if not 0 <= self.prefix_padding_ms <= 5_000:
            raise ValueError("prefix_padding_ms must be between 0 and 5000")
        if not FRAME_MS <= self.min_speech_ms <= 1_000:
            raise ValueError("min_speech_ms must be between 20 and 1000")
        if not 0 <= self.tail_ms <= self.pause_ms <= self.hangover_ms <= 60_000:
            raise ValueError("must satisfy 0 <= tail_ms <= pause_ms <= hangover_ms <= 60000")
        if self.pause_ms < FRAME_MS:
            raise ValueError("pause_ms must be at least 20")
        # A window is cut in its second half; what precedes that must fit into the first.
        if not 2 * (self.prefix_padding_ms + 2 * self.min_speech_ms) <= self.window_s * 1000:
            raise ValueError("window_s must hold twice the prefix padding and minimum speech")
        if not self.window_s <= 30:
            raise ValueError("window_s must be at most 30, the window of the model's encoder")

    def adjusted(
        self,
        *,
        automatic: bool,
        hangover_ms: int | None = None,
        prefix_padding_ms: int | None = None,
    ) -> EndpointConfig:
        """Give these settings with a peer's wishes, each moved to the nearest that can be."""
        hangover = self.hangover_ms if hangover_ms is None else hangover_ms
        prefix = self.prefix_padding_ms if prefix_padding_ms is None else prefix_padding_ms
        room = round(self.window_s * 500) - 2 * self.min_speech_ms
        hangover = min(max(hangover, FRAME_MS), 60_000)
        pause = min(self.pause_ms, hangover)
        return replace(
            self,
            automatic=automatic,
            hangover_ms=hangover,
            pause_ms=pause,
            tail_ms=min(self.tail_ms, pause),
            prefix_padding_ms=min(max(prefix, 0), 5_000, room),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """One endpointed stretch of audio: `pcm` (read-only) is samples `start` to `end`."""

    start: int
    end: int
    pcm: Pcm

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Utterance):
            return NotImplemented
        same_place = (self.start, self.end) == (other.start, other.end)
        return same_place and np.array_equal(self.pcm, other.pcm)

    def __hash__(self) -> int:
        return hash((self.start, self.end))


@dataclass(frozen=True, slots=True)
class Started:
    """Speech began at this sample, which lies before the moment it was decided."""

    at: int
    start: int = field(default=0, compare=False)
    """Where the utterance will begin: by the prefix padding earlier."""


@dataclass(frozen=True, slots=True)
class Paused:
    """Speech may be over: this is the utterance if nothing more is said."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Resumed:
    """Speech went on at this sample; the utterance of the last Paused is void."""

    at: int


@dataclass(frozen=True, slots=True)
class Continued:
    """The window is full and speech goes on: the next part starts where this one ends."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance is complete; equal to the last Paused one unless Resumed came between."""

    utterance: Utterance


EndpointEvent = Started | Paused | Resumed | Continued | Ended


class Endpointer:
    """Cut a stream of samples into utterances."""

    def __init__(self, vad: Vad, config: EndpointConfig) -> None:
        self.vad = vad
        self.decide(config)
        self.frames: deque[bytes] = deque()  # retained audio, up to `scored`
        self.rest: Pcm = np.empty(0, np.int16)  # received, not yet a whole frame
        self.scored = 0  # end of the last whole frame
        self.boundary = 0  # audio before this belongs to an utterance or was cleared
        self.start: int | None = None  # of the open utterance
        self.last_speech = 0  # end of the last speech frame of the open utterance
        self.paused: Utterance | None = None
        self.recent: deque[int] = deque()  # where speech frames not yet believed began
        self.onset = 0  # where their sound began

    def configure(self, config: EndpointConfig, threshold: float | None = None) -> None:
        """Decide like this from now on; what was received stays."""
        if config.automatic != self.config.automatic:
            self.paused = None
            self.recent.clear()
            self.boundary = max(self.boundary, self.oldest)
            if config.automatic:
                self.start = None
        self.decide(config)
        if threshold is not None:
            self.vad.demand(threshold)

    def decide(self, config: EndpointConfig) -> None:
        """Take the settings, in samples."""
        self.config = config
        self.prefix = samples_of(config.prefix_padding_ms)
        self.pause = samples_of(config.pause_ms)
        self.hangover = samples_of(config.hangover_ms)
        self.tail = samples_of(config.tail_ms)
        self.window = samples_of(config.window_s * 1000)
        self.min_frames = -(-config.min_speech_ms // FRAME_MS)

    @property
    def position(self) -> int:
        """Count the samples received."""
        return self.scored + self.rest.size

    @property
    def speaking(self) -> bool:
        """Tell whether an utterance is open."""
        return self.start is not None

    def push(self, samples: Pcm) -> list[EndpointEvent]:
        """Take any number of samples and return what they decided, in order."""
        events: list[EndpointEvent] = []
        if not self.config.automatic and self.start is None and samples.size:
            self.start = self.boundary
            events.append(Started(self.boundary, self.boundary))
        if self.rest.size:
            samples = np.concatenate((self.rest, samples))
        whole = samples.size - samples.size % FRAME
        for at in range(0, whole, FRAME):
            self.step(samples[at : at + FRAME], events)
        self.rest = samples[whole:].copy()
        return events

    def commit(self) -> list[EndpointEvent]:
        """End the utterance now; without open speech, all retained audio becomes one."""
        events: list[EndpointEvent] = []
        if self.start is None:
            self.start = max(self.boundary, self.position - self.window)
            end = self.position
        elif not self.config.automatic:
            end = self.position
        else:
            if self.paused and self.resuming:
                self.resume(events)
            end = min(self.position, self.last_speech + self.tail, self.start + self.window)
        if end - self.start > self.window:
            self.hand_over(events)
        if end == self.start:
            self.start = None
        else:
            self.end(end, events)
        return events

    def clear(self) -> None:
        """Drop the open utterance and everything retained."""
        self.forget(self.position)

    def step(self, frame: Pcm, events: list[EndpointEvent]) -> None:
        """Score one frame and move on by it."""
        speech = int(self.vad(frame)) if self.config.automatic else 1
        self.frames.append(frame.tobytes())
        self.scored += FRAME
        if self.start is None:
            self.idle(speech, events)
        elif self.paused:
            self.wait(speech, events)
        else:
            self.listen(speech, events)
        keep = max(self.boundary, self.scored - self.window) if self.start is None else self.start
        for _ in range((keep - self.oldest) // FRAME):
            self.frames.popleft()

    def enough(self, speech: int) -> bool:
        """Note the last frame; tell whether `min_speech` came within twice its time."""
        if speech:
            if not self.recent:
                begin = self.scored - speech * FRAME
                self.onset = max(begin, self.oldest, self.boundary, self.last_speech)
            self.recent.append(self.scored - FRAME)
        while self.recent and self.recent[0] < self.scored - 2 * self.min_frames * FRAME:
            self.recent.popleft()
            self.onset = self.recent[0] if self.recent else self.scored
        return len(self.recent) >= self.min_frames

    @property
    def resuming(self) -> bool:
        """Tell whether half of the speech needed is there: no moment to end at."""
        return 2 * len(self.recent) >= self.min_frames

    def idle(self, speech: int, events: list[EndpointEvent]) -> None:
        """Open an utterance once there is enough speech."""
        if self.enough(speech):
            self.recent.clear()
            self.start = max(self.onset - self.prefix, self.boundary, self.oldest)
            self.last_speech = self.scored
            events.append(Started(self.onset, self.start))

    def listen(self, speech: int, events: list[EndpointEvent]) -> None:
        """Follow the open utterance until it pauses."""
        if speech:
            self.last_speech = self.scored
            self.overflow(events)
        elif self.scored - self.last_speech >= self.pause:
            self.paused = self.utterance(self.last_speech + self.tail)
            events.append(Paused(self.paused))
            self.expire(events)

    def wait(self, speech: int, events: list[EndpointEvent]) -> None:
        """Go on with a paused utterance once there is enough speech, or end it."""
        if self.enough(speech):
            self.resume(events)
        elif not speech:
            self.expire(events)

    def resume(self, events: list[EndpointEvent]) -> None:
        """Take the recent speech into the open utterance."""
        events.append(Resumed(self.onset))
        self.recent.clear()
        self.paused = None
        self.last_speech = self.scored
        self.overflow(events)

    def expire(self, events: list[EndpointEvent]) -> None:
        """End the utterance when the hangover has passed, unless speech is about to resume."""
        if not self.resuming and self.scored - self.last_speech >= self.hangover:
            self.end(self.last_speech + self.tail, events)

    def overflow(self, events: list[EndpointEvent]) -> None:
        """Hand a part over when the open utterance no longer fits the window."""
        assert self.start is not None
        if self.scored - self.start > self.window:
            self.hand_over(events)

    def hand_over(self, events: list[EndpointEvent]) -> None:
        """Cut the full window in the middle of its quietest late frame."""
        assert self.start is not None
        limit = self.start + self.window
        span = min(QUIET_SPAN, self.window // 2) // FRAME * FRAME
        late = self.cut(limit - span, limit).reshape(-1, FRAME).astype(np.int64)
        cut = limit - span + int((late * late).sum(axis=1).argmin()) * FRAME + FRAME // 2
        events.append(Continued(self.utterance(cut)))
        self.start = self.boundary = cut

    def end(self, end: int, events: list[EndpointEvent]) -> None:
        """Close the open utterance; what follows it is retained for the next."""
        utterance = self.paused or self.utterance(end)
        events.append(Ended(utterance))
        self.forget(utterance.end)

    def forget(self, boundary: int) -> None:
        """Go idle; nothing before the boundary is used again."""
        self.boundary = boundary
        self.start = self.paused = None
        self.recent.clear()

    def utterance(self, end: int) -> Utterance:
        """Freeze the open utterance up to `end`, or to where the window is full."""
        assert self.start is not None
        end = min(end, self.start + self.window)
        return Utterance(self.start, end, self.cut(self.start, end))

    @property
    def oldest(self) -> int:
        """Position of the first sample retained."""
        return self.scored - len(self.frames) * FRAME

    def cut(self, start: int, end: int) -> Pcm:
        """Copy the retained samples from `start` to `end`."""
        first = (start - self.oldest) // FRAME
        offset = start - self.oldest - first * FRAME
        data = b"".join(islice(self.frames, first, -(-(end - self.oldest) // FRAME)))
        if end > self.scored:
            data += self.rest.tobytes()
        return np.frombuffer(data, np.int16)[offset : offset + end - start]
