"""Any order of events keeps what a strict peer and an engine rely on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from talking import asked, kinds, loud, new_session, notices, order, quiet, receive

from realtime.engine.api import Usage, UserTurn
from realtime.session.events import (
    FRONT,
    AudioReceived,
    Cancel,
    CancelAsked,
    ClearAsked,
    CommitAsked,
    Committed,
    Configured,
    Confirm,
    Effect,
    Emit,
    Final,
    Generate,
    InstructionSet,
    ItemAsked,
    ItemCut,
    ItemDropped,
    ItemPut,
    ItemsResponseAsked,
    Partial,
    Played,
    ResetAsked,
    ResponseAsked,
    ResponseEnded,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextReceived,
)
from realtime.session.items import AnswerDraft, OtherDraft, Reference, SystemDraft, UserDraft
from realtime.session.session import Session
from realtime.session.settings import TurnSettings
from realtime.session.turn_table import Response

# ---- turns ---------------------------------------------------------------------------------------

SCRIPT = [(quiet, 500), (loud, 700), (quiet, 300), (loud, 300), (quiet, 900), (loud, 40)]
WHOLE = np.concatenate([make(ms).pcm for make, ms in SCRIPT] + [quiet(700).pcm])


def told(cuts: list[int]) -> list:
    session = new_session()
    effects = receive(session, *(AudioReceived(part) for part in np.split(WHOLE, cuts)))
    clips = [p.pcm.tobytes() for g in asked(effects) for p in g.request.turns[-1].parts]
    return [kinds(effects), notices(effects, SpeechStarted), notices(effects, SpeechStopped), clips]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=30).map(sorted))
def test_the_same_audio_gives_the_same_events_however_it_was_cut(cuts):
    assert told(cuts) == told([])


COMMANDS = st.sampled_from(
    [
        CommitAsked(),
        ResponseAsked(),
        CancelAsked(),
        ClearAsked(),
        ResetAsked(),
        TextReceived("x" * 60),
        InstructionSet("y"),
        InstructionSet(""),
        loud(60),
        loud(300),
        loud(31_000),
        quiet(100),
        quiet(600),
    ]
)
ENGINE = st.sampled_from(["delta", "wordless", "end", "fail", "late delta", "late end"])
PLAYED = st.builds(Played, st.integers(0, 5), st.integers(0, 9))


class Peer:
    """A strict peer: it checks the order of everything it is told."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.live: dict[str, int] = {}
        self.speculation: str | None = None
        self.open_turn: int | None = None
        self.seq = 0
        self.text = ""
        self.speaking = False

    def see(self, effect: Effect) -> None:
        match effect:
            case Generate(request) if request.priority == "low":
                assert self.speculation is None, "one speculation at a time"
                assert not self.live, "no speculation while an answer is due"
                self.speculation = request.id
            case Confirm(response):
                assert response == self.speculation
                self.speculation = None
                self.live[response] = self.open_turn = self.session.conversation.turn
                self.seq, self.text = 0, ""
            case Cancel(response) if response == self.speculation:
                self.speculation = None
            case Generate(request):
                assert not self.live, "one answer at a time"
                assert self.speculation is None, "a speculation is confirmed or cancelled first"
                assert isinstance(request.turns[-1], UserTurn)
                assert all(
                    isinstance(p, str) or len(p.pcm) >= 1600 for p in request.turns[-1].parts
                )
                self.live[request.id] = self.open_turn = self.session.conversation.turn
                self.seq, self.text = 0, ""
            case Cancel(response):
                del self.live[response]
            case Emit(Partial(turn, seq, delta)):
                assert (turn, seq) == (self.open_turn, self.seq)
                self.seq += 1
                self.text += delta
            case Emit(Final(turn, text)):
                assert turn == self.open_turn, "exactly one end for each answer"
                assert self.text.startswith(text)
                self.open_turn = None
                self.live.clear()
            case Emit(SpeechStarted()):
                assert not self.speaking
                self.speaking = True
            case Emit(SpeechStopped(_, duration)):
                assert self.speaking
                assert duration >= 0
                self.speaking = False
            case _:
                pass


@given(st.booleans(), st.booleans(), st.lists(st.one_of(COMMANDS, ENGINE, PLAYED), max_size=40))
def test_any_order_of_events_keeps_the_invariants(automatic, speculate, script):
    session = new_session(
        automatic=automatic, speculate=speculate, max_turn_s=60, budget_tokens=2000
    )
    peer = Peer(session)
    past = "c:0"
    for step in script:
        speculation = session.speculations.live and session.speculations.live.response
        live = session.response or speculation or past
        event = (
            {
                "delta": TextDelta(live, (1, 2), "ab"),
                "wordless": TextDelta(live, (3,), ""),
                "end": ResponseEnded(live, "stop"),
                "fail": ResponseFailed(live, "engine_error", "It broke."),
                "late delta": TextDelta(past, (9,), "late"),
                "late end": ResponseEnded(past, "stop"),
            }.get(step, step)
            if isinstance(step, str)
            else step
        )
        before = session.response
        for effect in session.receive(event):
            peer.see(effect)
        if before is not None and session.response != before:
            past = before
        assert (session.response is not None) == bool(peer.live)
        if step == "fail" and session.speculations.live is None:
            peer.speculation = None  # it ended by itself
        assert (session.speculations.live is not None) == (peer.speculation is not None)
        assert (session.turns.response is not Response.NONE) == bool(peer.live)
        assert session.hearing == peer.speaking
        kinds_of_turns = [type(turn) for turn in session.conversation.turns()]
        assert all(a is not b for a, b in pairwise(kinds_of_turns)), "the two take turns"
        ids = [item.id for item in session.conversation.items]
        assert len(ids) == len(set(ids))


# ---- items ---------------------------------------------------------------------------------------

IDS = st.sampled_from(["A", "B", "C", "nowhere"])
DRAFTS = st.one_of(
    st.builds(UserDraft, IDS | st.none(), st.just(("text",)) | st.just((loud(200).pcm, "text"))),
    st.builds(AnswerDraft, IDS | st.none(), st.text(max_size=3)),
    st.builds(SystemDraft, IDS | st.none(), st.just("rule")),
    st.builds(OtherDraft, IDS | st.none(), st.just({"type": "function_call"})),
)
OPTIONS = st.builds(
    ResponseOptions,
    instructions=st.none() | st.just("Be brief."),
    input=st.none() | st.lists(DRAFTS | st.builds(Reference, IDS), max_size=2).map(tuple),
    out_of_band=st.booleans(),
)
SETTINGS = st.builds(
    TurnSettings,
    automatic=st.booleans(),
    hangover_ms=st.none() | st.integers(0, 2000),
    respond=st.booleans(),
    interrupt=st.booleans(),
    idle_ms=st.none() | st.integers(1000, 3000),
    transcribe=st.booleans(),
)
STEPS = st.one_of(
    st.sampled_from(
        [
            *(loud(60), loud(400), quiet(100), quiet(700)),
            CommitAsked(respond=False),
            ClearAsked(),
            CancelAsked(),
        ]
    ),
    st.builds(ItemPut, DRAFTS, st.none() | st.just(FRONT) | IDS),
    st.builds(ItemAsked, IDS),
    st.builds(ItemDropped, IDS),
    st.builds(ItemCut, IDS, st.none() | st.integers(0, 5)),
    st.builds(ItemsResponseAsked, OPTIONS),
    st.builds(Configured, SETTINGS),
    st.tuples(st.sampled_from(["delta", "end", "fail"]), st.integers(0, 5)),
)


@given(st.booleans(), st.lists(STEPS, max_size=40))
def test_any_order_of_events_keeps_what_a_strict_peer_relies_on(speculate, script):
    session = new_session(speculate=speculate, budget_tokens=800)
    engine: dict[str, str] = {}  # requests that the engine works on, by role
    announced: set[str] = set()  # answers that are due or under way
    coming: str | None = None  # the item that was announced to be spoken
    ended: list[str] = []
    for step in script:
        event = step
        if isinstance(step, tuple):
            if not engine:
                continue
            what, which = step
            response = sorted(engine)[which % len(engine)]
            if what == "delta":
                event = TextDelta(response, (7,), "ab")
            else:
                del engine[response]
                event = (
                    ResponseEnded(response, "stop", Usage(9, 0, 1))
                    if what == "end"
                    else ResponseFailed(response, "busy", "Full.")
                )
        for effect in session.receive(event):
            match effect:
                case Generate(request, role):
                    assert request.id not in engine
                    engine[request.id] = role
                case Cancel(response):
                    engine.pop(response, None)
                case Emit(ResponseStarted(response)):
                    assert response not in announced
                    announced.add(response)
                case Emit(Partial(response=response)):
                    assert response in announced, "no piece before the start or behind the end"
                case Emit(Final(response=response)):
                    announced.remove(response)
                    ended.append(response)
                case Emit(SpeechStarted(item=item)):
                    coming = item
                case Emit(SpeechStopped(item=item)):
                    assert item == coming
                case Emit(Committed(item, previous)):
                    assert item.id in order(session)
                    place = order(session).index(item.id)
                    assert previous == (order(session)[place - 1] if place else None)
                case _:
                    pass
        assert len(ended) == len(set(ended)), "one end for each answer"
        assert (session.response in announced) == (session.response is not None)
        assert len(order(session)) == len(set(order(session)))
        assert {response for response in engine if "~t" not in response} == announced | (
            {session.speculations.live.response} if session.speculations.live else set()
        ), "the engine works on what is wanted, and on nothing else"
