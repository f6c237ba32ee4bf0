"""Responses beside the conversation, and transcripts."""

from __future__ import annotations

from fakes import LoudVad
from talking import (
    asked,
    codes,
    names,
    new_session,
    order,
    receive,
    reply,
    requests,
    speak,
    stream,
    told,
    write,
)

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import Clip, Sampling, SystemTurn, Usage, UserTurn
from realtime.session.events import (
    Cancel,
    CancelAsked,
    CommitAsked,
    Final,
    ItemDropped,
    ItemsResponseAsked,
    Partial,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    TextDelta,
    TextReceived,
    Transcribed,
    Trouble,
)
from realtime.session.items import UserDraft
from realtime.session.session import Session
from realtime.session.settings import SessionConfig, TurnSettings

ANSWER = ItemsResponseAsked(ResponseOptions())
OUT_OF_BAND = ItemsResponseAsked(ResponseOptions(out_of_band=True))


def test_what_was_said_is_written_down_beside_the_conversation():
    session = new_session(TurnSettings(transcribe=True))
    answer, transcript = sorted(
        requests(speak(session)), key=lambda request: request.priority == "low"
    )
    assert transcript.priority == "low"
    assert transcript.turns[-1].parts[-1] == "What does the person say?"
    effects = stream(session, transcript.id, " Turn on", " the light. ")
    item = session.conversation.items[0]
    assert told(effects, Transcribed) == [Transcribed(item.id, "Turn on the light.", 1.5)]
    assert item.transcript == "Turn on the light."
    assert answer.turns == session.conversation.turns()
    failed = requests(speak(session))[0]
    (told_,) = told(receive(session, ResponseFailed(failed.id, "busy", "Full.")), Transcribed)
    assert told_.failure == Trouble("busy", "Full.")


def test_transcripts_are_bounded():
    session = new_session(TurnSettings(transcribe=True, respond=False))
    for _ in range(8):
        assert len(requests(speak(session))) == 1
    effects = speak(session)
    assert requests(effects) == []
    assert told(effects, Transcribed)[0].failure.code == "busy"


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


def test_a_response_out_of_band_is_in_no_conversation_and_carries_its_own_audio():
    session = new_session()
    speak(session)
    effects = receive(session, OUT_OF_BAND)
    (started,), (generate,) = told(effects, ResponseStarted), asked(effects)
    assert (started.previous, started.answer.turn) == (None, 0)
    assert started.answer.id not in order(session)
    assert generate.role == "out_of_band"
    assert generate.request.priority == "normal"
    assert (generate.request.id, generate.request.conversation) == ("c~a1", "c~a")
    effects = stream(session, "c~a1", "By", "", " the way.", usage=Usage(99, 0, 3))
    assert [(p.turn, p.seq, p.delta) for p in told(effects, Partial)] == [
        (0, 0, "By"),
        (0, 1, " the way."),
    ]
    (final,) = told(effects, Final)
    assert final.usage == Usage(99, 0, 3, audio_tokens=37)
    assert (final.response, final.finish, final.ms) == ("c~a1", "stop", ())


def test_a_response_out_of_band_that_fails_or_is_stopped_keeps_what_came_of_it():
    session = new_session()
    receive(session, write("a"), OUT_OF_BAND, OUT_OF_BAND)
    for response in ("c~a1", "c~a2"):
        stream(session, response, "By", done=False)
    (failed,) = told(receive(session, ResponseFailed("c~a1", "busy", "Full.")), Final)
    (stopped,) = told(receive(session, CancelAsked("c~a2")), Final)
    assert (failed.text, failed.finish, failed.reason) == ("By", "interrupted", None)
    assert (stopped.text, stopped.finish, stopped.reason) == ("By", "interrupted", "asked")
    assert codes(receive(session, CancelAsked("c~a2"))) == ["nothing_to_cancel"]


def test_responses_out_of_band_may_be_forbidden():
    session = new_session(max_asides=0)
    assert codes(receive(session, write("a"), OUT_OF_BAND)) == ["too_many_responses"]


def test_a_response_out_of_band_is_asked_with_what_it_brings_or_with_the_conversation():
    session = new_session(TurnSettings(sampling=Sampling(top_k=5)))
    receive(session, write("a", "A"))
    own = ResponseOptions("Be brief.", Sampling(top_k=9), (UserDraft(None, ("b",)),), True)
    (plain,), (changed,) = (
        requests(receive(session, event)) for event in (OUT_OF_BAND, ItemsResponseAsked(own))
    )
    assert (plain.turns, plain.sampling.top_k) == ((UserTurn(("a",)),), 5)
    assert changed.turns == (SystemTurn("Be brief."), UserTurn(("b",)))
    assert changed.sampling.top_k == 9
    assert order(session) == ["A"]


def test_a_transcript_is_asked_for_exactly_and_told_by_nobody_but_its_item():
    session = new_session(TurnSettings(transcribe=True, respond=False))
    receive(session, TextReceived("Who is it?"))
    (generate,) = asked(speak(session))
    assert generate.role == "out_of_band"
    assert (generate.request.id, generate.request.conversation) == ("c~t1", "c~t")
    (turn,) = generate.request.turns
    assert [type(part) for part in turn.parts] == [Clip, str], "what was written is known"
    sampling = generate.request.sampling
    assert (sampling.temperature, sampling.repetition_penalty) == (0.0, 1.0)
    assert sampling.max_tokens == 512
    assert stream(session, "c~t1", "It is", done=False) == []
    (failed,) = told(receive(session, ResponseFailed("c~t1", "busy", "Full.")), Transcribed)
    assert (failed.item, failed.text, failed.seconds) == (order(session)[0], "", 1.5)
    assert session.conversation.items[0].transcript is None
    assert receive(session, TextDelta("c~t1", (1,), "late")) == []


def test_a_transcript_that_is_done_makes_room_for_another():
    session = new_session(TurnSettings(transcribe=True, respond=False))
    for number in range(1, 20):
        assert requests(speak(session))[0].id == f"c~t{number}"
        stream(session, f"c~t{number}", "Yes.")


def test_the_transcript_of_an_item_that_is_gone_changes_no_other():
    session = new_session(TurnSettings(transcribe=True, respond=False))
    speak(session)
    speak(session)
    first, second = order(session)
    receive(session, ItemDropped(first))
    (transcribed,) = told(stream(session, "c~t1", "Yes."), Transcribed)
    assert transcribed.item == first
    assert [item.transcript for item in session.conversation.items] == [None]
    assert order(session) == [second]


def test_what_is_only_written_is_not_transcribed():
    session = new_session(TurnSettings(transcribe=True))
    assert len(requests(receive(session, TextReceived("Why?"), CommitAsked()))) == 1
