"""Responses beside the conversation, and transcripts."""

from __future__ import annotations

from fakes import LoudVad
from talking import (
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
from realtime.session.events import (
    Cancel,
    CancelAsked,
    Final,
    ItemsResponseAsked,
    Partial,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    Transcribed,
    Trouble,
)
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
