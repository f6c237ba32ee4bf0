"""The turn machine as a peer sees it that knows items, commits and answers apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from fakes import LoudVad, loud, quiet
from hypothesis import given
from hypothesis import strategies as st

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import AssistantTurn, Clip, Request, Sampling, SystemTurn, Usage, UserTurn
from realtime.session.conversation import Conversation
from realtime.session.events import (
    FRONT,
    AudioReceived,
    Cancel,
    CancelAsked,
    ClearAsked,
    CommitAsked,
    Committed,
    Configured,
    Effect,
    Emit,
    Final,
    Generate,
    Input,
    ItemAsked,
    ItemCut,
    ItemDropped,
    ItemGone,
    ItemPut,
    ItemsResponseAsked,
    Partial,
    ResponseEnded,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    SilenceNoticed,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    Transcribed,
    Trouble,
)
from realtime.session.items import (
    AnswerDraft,
    OtherDraft,
    Reference,
    SystemDraft,
    UserDraft,
    UserItem,
)
from realtime.session.session import Session
from realtime.session.settings import SessionConfig, TurnSettings

ANSWER = ItemsResponseAsked(ResponseOptions())
OUT_OF_BAND = ItemsResponseAsked(ResponseOptions(out_of_band=True))


def new_session(settings: TurnSettings | None = None, **config) -> Session:
    config = {"speculate": False, **config}
    endpointer = Endpointer(LoudVad(), EndpointConfig())
    session = Session(Conversation("c"), endpointer, SessionConfig(**config))
    if settings is not None:
        session.receive(Configured(settings))
    return session


def receive(session: Session, *events: Input) -> list[Effect]:
    return [effect for event in events for effect in session.receive(event)]


def say(session: Session, ms: int = 1000) -> list[Effect]:
    return receive(session, *(AudioReceived(pcm) for pcm in (quiet(400), loud(ms), quiet(700))))


def write(text: str, id: str | None = None, after: str | None = None) -> ItemPut:
    return ItemPut(UserDraft(id, (text,)), after)


def reply(session: Session, *pieces: str, done: bool = True) -> list[Effect]:
    assert session.response is not None
    return stream(session, session.response, *pieces, done=done)


def stream(session: Session, response: str, *pieces: str, done: bool = True) -> list[Effect]:
    deltas = [TextDelta(response, (i,), text) for i, text in enumerate(pieces, 1)]
    end = [ResponseEnded(response, "stop", Usage(9, 4, len(pieces)))] if done else []
    return receive(session, *deltas, *end)


def names(effects: Iterable[Effect]) -> list[str]:
    return [type(e.notice if isinstance(e, Emit) else e).__name__ for e in effects]


def told(effects: Iterable[Effect], kind: type) -> list:
    return [e.notice for e in effects if isinstance(e, Emit) and isinstance(e.notice, kind)]


def requests(effects: Iterable[Effect]) -> list[Request]:
    return [e.request for e in effects if isinstance(e, Generate)]


def codes(effects: Iterable[Effect]) -> list[str]:
    return [trouble.code for trouble in told(effects, Trouble)]


def order(session: Session) -> list[str]:
    return [item.id for item in session.conversation.items]


# ---- a spoken turn ------------------------------------------------------------------------------


def test_a_spoken_turn_is_told_in_order_under_one_item_id():
    session = new_session()
    effects = say(session)
    assert names(effects) == [
        "SpeechStarted", "SpeechStopped", "Committed", "ResponseStarted", "Generate",
    ]  # fmt: skip
    (started,), (stopped,) = told(effects, SpeechStarted), told(effects, SpeechStopped)
    (committed,), (response,) = told(effects, Committed), told(effects, ResponseStarted)
    assert started.item == stopped.item == committed.item.id
    assert (committed.previous, response.previous) == (None, committed.item.id)
    effects = reply(session, "Hel", "lo.")
    assert [(p.response, p.delta) for p in told(effects, Partial)] == [
        (response.response, "Hel"),
        (response.response, "lo."),
    ]
    (final,) = told(effects, Final)
    assert (final.response, final.reason, final.failure) == (response.response, None, None)
    assert final.usage == Usage(9, 4, 2, audio_tokens=9)  # no more than the prompt has
    (second,) = told(say(session), Committed)
    assert second.previous == response.answer.id


def test_the_item_begins_by_the_prefix_padding_before_the_speech():
    (started,) = told(say(new_session(TurnSettings(prefix_padding_ms=200))), SpeechStarted)
    assert (started.at, started.start) == (400 * 16, 200 * 16)


def test_speech_too_short_to_be_heard_gives_its_item_up():
    session = new_session(min_audio_ms=1000)
    effects = say(session, 100)
    assert codes(effects) == ["audio_too_short"]
    assert not order(session)
    (first,) = told(effects, SpeechStarted)
    (second,) = told(say(session), SpeechStarted)
    assert first.item != second.item


@pytest.mark.parametrize("interrupt", [True, False])
def test_without_automatic_answers_speech_is_only_committed(interrupt):
    session = new_session(TurnSettings(respond=False, interrupt=interrupt))
    assert names(say(session)) == ["SpeechStarted", "SpeechStopped", "Committed"]
    assert names(receive(session, ANSWER)) == ["ResponseStarted", "Generate"]
    reply(session, "One", done=False)
    stopped = [final.reason for final in told(say(session), Final)]
    assert stopped == (["speech"] if interrupt else [])
    assert (session.response is None) == interrupt


def test_speech_that_may_not_interrupt_is_answered_when_the_answer_is_over():
    session = new_session(TurnSettings(interrupt=False))
    say(session)
    first = session.response
    reply(session, "One", done=False)
    assert names(say(session)) == ["SpeechStarted", "SpeechStopped", "Committed"]
    assert session.response == first
    effects = reply(session, " two.")
    assert names(effects) == ["Partial", "Final", "ResponseStarted", "Generate"]
    (request,) = requests(effects)
    assert [type(turn) for turn in request.turns] == [UserTurn, AssistantTurn, UserTurn]
    assert names(reply(session, "Three."))[-1] == "Final"


@pytest.mark.parametrize(
    "said", [write("By the way."), CommitAsked(respond=False)], ids=["an item", "a commit"]
)
def test_only_what_wanted_an_answer_is_answered_when_the_one_before_is_over(said):
    session = new_session(TurnSettings(interrupt=False))
    say(session)
    say(session)
    assert requests(reply(session, "One.")), "an answer was owed"
    receive(session, AudioReceived(quiet(400)), AudioReceived(loud(500)), said)
    receive(session, ClearAsked())
    assert names(reply(session, "Two.")) == ["Partial", "Final"]


def test_a_commit_answers_nothing_unless_it_is_asked_to():
    session = new_session(TurnSettings(automatic=False))
    receive(session, AudioReceived(loud(500)))
    effects = receive(session, CommitAsked(respond=False))
    assert names(effects) == ["Committed"]
    assert codes(receive(session, CommitAsked(respond=False))) == ["nothing_to_commit"]
    (request,) = requests(receive(session, ANSWER))
    (turn,) = request.turns
    assert len(turn.parts[0].pcm) == 500 * 16


def test_pushing_to_talk_for_ever_is_committed_at_the_limit_and_not_answered():
    session = new_session(TurnSettings(automatic=False, respond=False), max_turn_s=60)
    effects = receive(session, *(AudioReceived(loud(1000)) for _ in range(70)))
    assert codes(effects) == ["turn_too_long"]
    assert len(told(effects, Committed)) == 1
    assert requests(effects) == []


def test_silence_after_an_answer_is_answered_itself():
    session = new_session(TurnSettings(idle_ms=2000))
    assert receive(session, AudioReceived(quiet(5000))) == []  # there was no answer yet
    say(session)
    reply(session, "Hello.")
    assert receive(session, AudioReceived(quiet(1900))) == []
    effects = receive(session, AudioReceived(quiet(200)))
    assert names(effects) == ["SilenceNoticed", "Committed", "ResponseStarted", "Generate"]
    (silence,), (committed,) = told(effects, SilenceNoticed), told(effects, Committed)
    assert silence.item == committed.item.id
    assert silence.end - silence.start >= 2000 * 16
    reply(session, "Still there?")
    assert names(receive(session, AudioReceived(loud(300)))) == ["SpeechStarted"]
    assert "SilenceNoticed" not in names(receive(session, AudioReceived(loud(3000))))


def test_a_silence_is_one_since_the_user_last_said_something():
    session = new_session(TurnSettings(idle_ms=1000, interrupt=False, respond=False))
    receive(session, write("a"), ANSWER)
    receive(session, AudioReceived(quiet(400)), AudioReceived(loud(400)))
    reply(session, "Yes.")
    assert "SilenceNoticed" not in names(receive(session, AudioReceived(loud(1200))))
    assert names(receive(session, AudioReceived(quiet(700)))) == ["SpeechStopped", "Committed"]
    assert receive(session, AudioReceived(quiet(3000))) == []


@pytest.mark.parametrize(
    "interruption",
    [
        pytest.param([AudioReceived(loud(300)), AudioReceived(quiet(600))], id="too short a word"),
        pytest.param([AudioReceived(loud(300)), ClearAsked()], id="speech that the peer clears"),
    ],
)
def test_speech_ends_a_silence_also_when_nothing_comes_of_it(interruption):
    session = new_session(TurnSettings(idle_ms=1000), min_audio_ms=900)
    say(session)
    reply(session, "Yes.")
    assert "SpeechStarted" in names(receive(session, *interruption))
    assert receive(session, AudioReceived(quiet(5000))) == []


@pytest.mark.parametrize("said", [ClearAsked(), CommitAsked(respond=False)])
def test_what_the_peer_does_with_a_silence_ends_it(said):
    session = new_session(TurnSettings(idle_ms=1000))
    say(session)
    reply(session, "Yes.")
    receive(session, AudioReceived(quiet(980)), said)
    assert receive(session, AudioReceived(quiet(400))) == []


def test_looking_at_an_item_loses_no_speculation():
    session = new_session(speculate=True)
    effects = receive(session, *(AudioReceived(p) for p in (quiet(400), loud(600), quiet(300))))
    assert [e.role for e in effects if isinstance(e, Generate)] == ["speculation"]
    assert codes(receive(session, ItemAsked("nowhere"))) == ["item_not_found"]
    assert names(receive(session, AudioReceived(quiet(400)))).count("Confirm") == 1


# ---- settings -----------------------------------------------------------------------------------


def test_a_longer_hangover_waits_longer():
    session = new_session(TurnSettings(hangover_ms=1500))
    assert names(say(session)) == ["SpeechStarted"]
    assert "Committed" in names(receive(session, AudioReceived(quiet(900))))


@pytest.mark.parametrize("hangover", [0, 10, 100, 60_000, 10**9])
@pytest.mark.parametrize("prefix", [0, 5_000, 10**9])
def test_wishes_beyond_the_possible_become_the_nearest_possible(hangover, prefix):
    session = new_session(TurnSettings(hangover_ms=hangover, prefix_padding_ms=prefix))
    config = session.endpointer.config
    assert 20 <= config.hangover_ms <= 60_000
    assert config.prefix_padding_ms <= 5_000


def test_instructions_are_the_system_prompt_until_they_are_cleared():
    session = new_session(TurnSettings(instructions="Be brief."))
    (request,) = requests(say(session))
    assert request.turns[0] == SystemTurn("Be brief.")
    reply(session, "Yes.")
    receive(session, Configured(TurnSettings(instructions="")))
    (request,) = requests(say(session))
    assert isinstance(request.turns[0], UserTurn)


def test_the_servers_instructions_hold_until_the_peer_has_its_own_and_again_for_the_next_peer():
    session = new_session(instructions="Be kind.")
    (request,) = requests(say(session))
    assert request.turns[0] == SystemTurn("Be kind.")
    reply(session, "Yes.")
    receive(session, Configured(TurnSettings(instructions="Be brief.")))
    (request,) = requests(say(session))
    assert request.turns[0] == SystemTurn("Be brief.")
    reply(session, "Yes.")
    endpointer = Endpointer(LoudVad(), EndpointConfig())
    config = SessionConfig(instructions="Be kind.", speculate=False)
    (request,) = requests(say(Session(session.conversation, endpointer, config)))
    assert request.turns[0] == SystemTurn("Be kind.")


def test_turning_detection_off_in_speech_keeps_the_audio_for_the_commit():
    session = new_session()
    receive(session, AudioReceived(quiet(400)), AudioReceived(loud(500)))
    assert session.hearing
    receive(session, Configured(TurnSettings(automatic=False)))
    assert not session.hearing
    assert receive(session, AudioReceived(loud(200)), AudioReceived(quiet(900))) == []
    effects = receive(session, CommitAsked(respond=False))
    assert names(effects) == ["Committed"], "in push-to-talk no speech starts or stops"
    (committed,) = told(effects, Committed)
    assert len(committed.item.clips[0].pcm) == (300 + 500 + 200 + 900) * 16
    receive(session, Configured(TurnSettings()))
    assert "Committed" in names(say(session))


def test_settings_drop_a_speculation_that_they_make_wrong():
    session = new_session(speculate=True)
    effects = receive(session, *(AudioReceived(p) for p in (quiet(400), loud(600), quiet(300))))
    assert [e.role for e in effects if isinstance(e, Generate)] == ["speculation"]
    dropped = receive(session, Configured(TurnSettings(instructions="Be brief.")))
    assert names(dropped) == ["Cancel", "SettingsApplied"]
    (request,) = requests(receive(session, AudioReceived(quiet(400))))
    assert request.turns[0] == SystemTurn("Be brief.")


# ---- items --------------------------------------------------------------------------------------


def test_items_are_put_at_the_end_the_front_and_behind_another():
    session = new_session()
    receive(session, write("b", "B"), write("a", "A", FRONT), write("ab", "AB", "A"))
    receive(session, ItemPut(AnswerDraft("D", "Hi.")))
    assert order(session) == ["A", "AB", "B", "D"]
    assert session.conversation.turns() == (UserTurn(("a\nab\nb",)), AssistantTurn(text="Hi."))


def test_what_is_written_while_somebody_speaks_is_the_instruction_of_that_turn():
    session = new_session()
    receive(session, AudioReceived(quiet(400)), AudioReceived(loud(500)))
    receive(session, write("What does the person say?"))
    (request,) = requests(receive(session, AudioReceived(quiet(700))))
    (turn,) = request.turns
    assert isinstance(turn.parts[0], Clip)
    assert turn.parts[1:] == ("What does the person say?",)


def test_a_recording_longer_than_the_window_becomes_several_clips():
    session = new_session()
    recording = np.arange(70 * 16_000).astype(np.int16)
    receive(session, ItemPut(UserDraft("long", (recording, "Summarise."))))
    (item,) = session.conversation.items
    assert isinstance(item, UserItem)
    assert len(item.clips) == 3
    assert all(len(clip.pcm) <= 30 * 16_000 for clip in item.clips)
    assert np.array_equal(np.concatenate([clip.pcm for clip in item.clips]), recording)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (write("x", "A"), "item_exists"),
        (write("x", None, "nowhere"), "item_not_found"),
        (ItemAsked("nowhere"), "item_not_found"),
        (ItemDropped("nowhere"), "item_not_found"),
        (ItemCut("nowhere", 0), "item_not_found"),
        (ItemCut("A", 0), "not_an_answer"),
        (ItemPut(UserDraft(None, (np.zeros(100, np.int16),))), "audio_too_short"),
        (ItemPut(UserDraft(None, (np.zeros(301 * 16_000, np.int16),))), "audio_too_long"),
        (ItemPut(OtherDraft(None, {"x": "y" * 20_000})), "conversation_full"),
        (ItemPut(SystemDraft(None, "y" * 20_000)), "conversation_full"),
        (CancelAsked(), "nothing_to_cancel"),
        (CancelAsked("c:9"), "nothing_to_cancel"),
        (ItemsResponseAsked(ResponseOptions(input=(Reference("no"),))), "item_not_found"),
        (
            ItemsResponseAsked(
                ResponseOptions(
                    out_of_band=True, input=(UserDraft(None, (np.zeros(9, np.int16),)),)
                )
            ),
            "audio_too_short",
        ),
    ],
)
def test_what_cannot_be_done_is_told_and_not_done(event, code):
    session = new_session()
    receive(session, write("first", "A"))
    assert codes(receive(session, event)) == [code]
    assert order(session) == ["A"]
    assert session.response is None


def test_older_items_leave_for_what_the_user_says_and_the_peer_is_told():
    session = new_session(budget_tokens=400)
    for i in range(5):
        receive(session, write("x" * 150, f"i{i}"))
    assert session.conversation.tokens() <= 400
    assert order(session)[-1] == "i4"
    assert "i0" not in order(session)


def test_what_is_only_committed_is_bounded_too():
    session = new_session(TurnSettings(respond=False), budget_tokens=400)
    effects = [effect for _ in range(12) for effect in say(session, 2000)]
    assert session.conversation.tokens() <= 400
    gone = [notice.item for notice in told(effects, ItemGone)]
    assert set(gone).isdisjoint(order(session))
    assert len(gone) + len(order(session)) == 12


def test_an_id_that_the_peer_has_taken_is_not_given_again():
    session = new_session()
    receive(session, write("mine", "item_c_1"))
    say(session)
    receive(session, CancelAsked(), AudioReceived(loud(300)))
    coming = session.pending.name_item()
    receive(session, write("mine, too", coming))
    receive(session, AudioReceived(quiet(700)))
    assert len(order(session)) == len(set(order(session)))
    assert session.conversation.items[0].parts == ("mine",)


def test_an_answer_is_cut_to_what_the_user_has_had_as_often_as_wanted():
    session = new_session()
    say(session)
    reply(session, "One,", " two,", " three.")
    answer = session.conversation.last_answer.id
    for chars, kept in [(None, (1, 2, 3)), (99, (1, 2, 3)), (12, (1, 2)), (12, (1, 2)), (0, ())]:
        assert names(receive(session, ItemCut(answer, chars))) == ["ItemTruncated"]
        assert session.conversation.items[1].tokens == kept
    assert [type(turn) for turn in session.conversation.turns()] == [UserTurn]


# ---- answers ------------------------------------------------------------------------------------


def test_one_answer_at_a_time_in_the_conversation():
    session = new_session()
    receive(session, write("a"), ANSWER)
    assert codes(receive(session, ANSWER)) == ["response_active"]
    reply(session, "Yes.")
    assert codes(receive(session, ANSWER)) == []


def test_an_answer_is_not_asked_about_items_that_left_for_it():
    session = new_session(budget_tokens=300)
    for i in range(3):
        receive(session, write("x" * 100, f"i{i}"), ANSWER)
        reply(session, *["y"] * 60)
    effects = receive(session, ANSWER)
    assert told(effects, ItemGone)
    (request,) = requests(effects)
    left = [i for i in order(session) if i != session.conversation.last_answer.id]
    assert len(request.turns) == len(left)


def test_an_answer_may_have_its_own_instructions_sampling_and_input():
    session = new_session()
    receive(session, write("a", "A"), write("b", "B"))
    sampling = Sampling(max_tokens=3)
    options = ResponseOptions("Be brief.", sampling, (Reference("B"), UserDraft(None, ("c",))))
    (request,) = requests(receive(session, ItemsResponseAsked(options)))
    assert request.turns == (SystemTurn("Be brief."), UserTurn(("b\nc",)))
    assert request.sampling == sampling
    assert order(session) == ["A", "B", session.conversation.last_answer.id]


def test_an_answer_out_of_band_leaves_the_conversation_alone_and_runs_beside_another():
    session = new_session()
    receive(session, write("a", "A"), ANSWER)
    effects = receive(session, OUT_OF_BAND)
    (started,), (request,) = told(effects, ResponseStarted), requests(effects)
    assert started.options is OUT_OF_BAND.options, "with what a codec has put there"
    assert request.conversation != session.conversation.id
    effects = stream(session, request.id, "By", " the way.")
    assert [p.response for p in told(effects, Partial)] == [request.id] * 2
    (final,) = told(effects, Final)
    assert (final.turn, final.text) == (0, "By the way.")
    assert len(order(session)) == 2
    assert names(reply(session, "Yes.")) == ["Partial", "Final"]


def test_answers_out_of_band_are_bounded_and_each_can_be_stopped():
    session = new_session()
    receive(session, write("a", "A"))
    live = [requests(receive(session, OUT_OF_BAND))[0].id for _ in range(4)]
    assert codes(receive(session, OUT_OF_BAND)) == ["too_many_responses"]
    effects = receive(session, CancelAsked(live[2]))
    assert effects[0] == Cancel(live[2])
    assert [final.reason for final in told(effects, Final)] == ["asked"]
    assert stream(session, live[2], "late") == []
    (failed,) = told(receive(session, ResponseFailed(live[0], "busy", "Full.")), Final)
    assert failed.failure == Trouble("busy", "Full.")
    assert codes(receive(session, OUT_OF_BAND, OUT_OF_BAND)) == []


def test_a_conversation_taken_up_again_repeats_no_id():
    first = new_session()
    endpointer = Endpointer(LoudVad(), EndpointConfig())
    second = Session(first.conversation, endpointer, SessionConfig())
    ids = [requests(receive(session, write("a"), OUT_OF_BAND))[0].id for session in (first, second)]
    assert len(set(ids)) == 2


# ---- transcripts --------------------------------------------------------------------------------


def test_what_was_said_is_written_down_beside_the_conversation():
    session = new_session(TurnSettings(transcribe=True))
    answer, transcript = sorted(
        requests(say(session)), key=lambda request: request.priority == "low"
    )
    assert transcript.priority == "low"
    assert transcript.turns[-1].parts[-1] == "What does the person say?"
    effects = stream(session, transcript.id, " Turn on", " the light. ")
    item = session.conversation.items[0]
    assert told(effects, Transcribed) == [Transcribed(item.id, "Turn on the light.", 1.5)]
    assert item.transcript == "Turn on the light."
    assert answer.turns == session.conversation.turns()
    failed = requests(say(session))[0]
    (told_,) = told(receive(session, ResponseFailed(failed.id, "busy", "Full.")), Transcribed)
    assert told_.failure == Trouble("busy", "Full.")


def test_transcripts_are_bounded():
    session = new_session(TurnSettings(transcribe=True, respond=False))
    for _ in range(8):
        assert len(requests(say(session))) == 1
    effects = say(session)
    assert requests(effects) == []
    assert told(effects, Transcribed)[0].failure.code == "busy"


# ---- any order ----------------------------------------------------------------------------------

IDS = st.sampled_from(["A", "B", "C", "nowhere"])
DRAFTS = st.one_of(
    st.builds(UserDraft, IDS | st.none(), st.just(("text",)) | st.just((loud(200), "text"))),
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
            *(AudioReceived(pcm) for pcm in (loud(60), loud(400), quiet(100), quiet(700))),
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
