"""The vocabulary of a session: what happens to it, what it orders, what its peer is told.

Inputs go into `Session.receive`, effects come out. Notices are protocol-free: a codec turns them
into the peer's own wire events. Positions and lengths are samples at 16 kHz; position 0 is where
the session began.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from realtime.audio.pcm import Pcm
from realtime.engine.api import Request, Sampling, Usage
from realtime.session.items import Answer, Item, ItemDraft, Reference, UserItem
from realtime.session.settings import TurnSettings

FRONT = "root"
"""Stands for the place before every item (OpenAI Realtime: previous_item_id)."""

# ---- inputs from the peer -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class AudioReceived:
    """The next samples of the microphone: int16 mono 16 kHz, any number."""

    pcm: Pcm


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A written instruction for the turn that is being spoken, or the next one."""

    text: str


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """A standing instruction for every further turn; empty to end it."""

    text: str


@dataclass(frozen=True, slots=True)
class CommitAsked:
    """End the utterance now; do not wait for silence."""

    respond: bool = True
    """And answer it."""


@dataclass(frozen=True, slots=True)
class ResponseAsked:
    """Answer now what has been said and written."""


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """How one answer differs from the others; None: it does not.

    ResponseStarted gives the same object back: what a codec adds in a class of its own comes along.
    """

    instructions: str | None = None
    """In place of the system prompt."""
    sampling: Sampling | None = None
    input: tuple[ItemDraft | Reference, ...] | None = None
    """In place of the conversation."""
    out_of_band: bool = False
    """The answer does not become part of the conversation, and may come beside another one."""


@dataclass(frozen=True, slots=True)
class ItemsResponseAsked:
    """Answer the items as they stand; nothing is committed and no answer is stopped for it."""

    options: ResponseOptions


@dataclass(frozen=True, slots=True)
class ItemPut:
    """Put an item behind the item `after`, at the FRONT, or (None) at the end."""

    draft: ItemDraft
    after: str | None = None


@dataclass(frozen=True, slots=True)
class ItemAsked:
    """Show an item."""

    item: str


@dataclass(frozen=True, slots=True)
class ItemDropped:
    """Take an item out of the conversation."""

    item: str


@dataclass(frozen=True, slots=True)
class ItemCut:
    """Keep of an answer what the user has had: `chars` of it, or (None) what was delivered.

    ItemTruncated gives the same object back.
    """

    item: str
    chars: int | None


@dataclass(frozen=True, slots=True)
class Configured:
    """Take turns like this from now on."""

    settings: TurnSettings


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Stop the answer, or the one with this id."""

    response: str | None = None


@dataclass(frozen=True, slots=True)
class ClearAsked:
    """Forget what was said and written since the last turn."""


@dataclass(frozen=True, slots=True)
class Played:
    """The user has seen or heard the first `chars` characters of the answer of `turn`."""

    turn: int
    chars: int


@dataclass(frozen=True, slots=True)
class ResetAsked:
    """Forget the whole conversation."""


@dataclass(frozen=True, slots=True)
class PeerCame:
    """The peer is there, perhaps again: what it missed may be told."""

    had: int | None = None
    """The last turn whose end it knows of, if it says so."""


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The peer left in order: it wants no more of the answer."""


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The connection ended otherwise; `sent`: nothing that was told still waited for the peer."""

    sent: bool


# ---- inputs from the engine ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer `response`: `text` is exactly what `tokens` add."""

    response: str
    tokens: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """The answer `response` is complete."""

    response: str
    finish: Literal["stop", "length"]
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """The answer `response` could not be (fully) made; the text is fit for the peer."""

    response: str
    code: str
    message: str


PeerInput = (
    AudioReceived
    | TextReceived
    | InstructionSet
    | CommitAsked
    | ResponseAsked
    | ItemsResponseAsked
    | ItemPut
    | ItemAsked
    | ItemDropped
    | ItemCut
    | Configured
    | CancelAsked
    | ClearAsked
    | Played
    | ResetAsked
)
EngineEvent = TextDelta | ResponseEnded | ResponseFailed
Input = PeerInput | PeerCame | PeerLeft | PeerLost | EngineEvent

# ---- what the peer is told ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The session may begin. `resume` is the secret by which the conversation is taken up again."""

    session: str
    resume: str
    model: str


@dataclass(frozen=True, slots=True)
class SettingsApplied:
    """Turns are taken as the peer asked."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak at sample `at`; it will become the user item `item`."""

    at: int
    item: str = ""
    start: int = field(default=0, compare=False)
    """Where the audio of that item begins, by the prefix padding earlier."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The utterance is over; speech and its tail ended at sample `at`, `duration` samples long."""

    at: int
    duration: int
    item: str = ""


@dataclass(frozen=True, slots=True)
class SilenceNoticed:
    """Nothing was said for long after an answer, from `start` to `end`; the silence is `item`."""

    start: int
    end: int
    item: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What was said (and written) became an item of the conversation, behind `previous`."""

    item: UserItem
    previous: str | None


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was said since the last turn is forgotten."""


@dataclass(frozen=True, slots=True)
class ItemPlaced:
    """An item of the peer is in its place."""

    item: Item
    previous: str | None


@dataclass(frozen=True, slots=True)
class ItemShown:
    """The item that the peer asked for."""

    item: Item


@dataclass(frozen=True, slots=True)
class ItemGone:
    """An item is no longer in the conversation."""

    item: str


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    """Of an answer is kept what the user has had."""

    cut: ItemCut


@dataclass(frozen=True, slots=True)
class Transcribed:
    """What was said in `item`, `seconds` of audio; or why that cannot be told."""

    item: str
    text: str
    seconds: float
    failure: Trouble | None = None


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The answer `response` is due and will be the item `answer`, behind `previous`."""

    response: str
    answer: Answer
    previous: str | None
    options: ResponseOptions


@dataclass(frozen=True, slots=True)
class Partial:
    """The next piece of the answer of `turn`; `seq` counts them from 0."""

    turn: int
    seq: int
    delta: str
    response: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer of `turn` was stopped; `text` is what stays in the conversation."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """The answer of `turn` is over; every answer ends with exactly one of these.

    `ms` are durations: the session knows what it waited in samples, the shell adds its own.
    """

    turn: int
    text: str
    finish: Literal["stop", "length", "interrupted"]
    usage: Usage | None = None
    ms: tuple[tuple[str, float], ...] = ()
    response: str = ""
    reason: Literal["speech", "asked"] | None = None
    """What interrupted it, unless it failed."""
    failure: Trouble | None = None
    """Why it could not be (fully) made."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of something a peer may still have; `reset_s` seconds from now, all of it."""

    name: Literal["requests", "tokens"]
    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class LimitsLeft:
    """What the peer may still have."""

    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something did not go as asked; unless `fatal`, the session goes on."""

    code: str
    message: str
    fatal: bool = False


Notice = (
    Ready
    | SettingsApplied
    | SpeechStarted
    | SpeechStopped
    | SilenceNoticed
    | Committed
    | Cleared
    | ItemPlaced
    | ItemShown
    | ItemGone
    | ItemTruncated
    | Transcribed
    | ResponseStarted
    | Partial
    | Cancelled
    | Final
    | LimitsLeft
    | Trouble
)

# ---- effects ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the peer."""

    notice: Notice


Role = Literal["response", "speculation", "out_of_band"]


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask the engine; its deltas come back as inputs with the request's id."""

    request: Request
    role: Role = "response"
    """Confirm or Cancel follows a speculation; nobody waits for what is out of band."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop asking the engine for `response`; late deltas will be ignored."""

    response: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """The speculation `response` is wanted: somebody waits for it from now on."""

    response: str


Effect = Emit | Generate | Cancel | Confirm
