"""The response of a conversation: asked for, delivered, stopped, and asked for anew."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import LoudVad
from talking import (
    asked,
    codes,
    kinds,
    loud,
    names,
    new_session,
    notices,
    order,
    receive,
    reply,
    requests,
    speak,
    told,
    write,
)

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import AssistantTurn, Clip, Sampling, SystemTurn, UserTurn
from realtime.session.events import (
    CancelAsked,
    Cancelled,
    CommitAsked,
    Configured,
    Effect,
    Final,
    ItemGone,
    ItemsResponseAsked,
    Partial,
    PeerCame,
    PeerLeft,
    PeerLost,
    Played,
    ResetAsked,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    Trouble,
)
from realtime.session.items import Answer, Reference, UserDraft
from realtime.session.response import audio_of
from realtime.session.session import Session
from realtime.session.settings import TurnSettings
from realtime.session.turn_table import Response

ANSWER = ItemsResponseAsked(ResponseOptions())


# ---- the peer goes and comes ---------------------------------------------------------------------


def back(session: Session, had: int | None = None) -> tuple[Session, list[Effect]]:
    """Take the conversation up again with a new session, as a new connection does."""
    config = session.config
    again = Session(session.conversation, Endpointer(LoudVad(), EndpointConfig()), config)
    return again, receive(again, PeerCame(had))


def delivered(session: Session) -> list[str]:
    return [item.text for item in session.conversation.items if isinstance(item, Answer)]


@pytest.mark.parametrize("pieces", [(), ("One,",), ("One,", " two,")])
@pytest.mark.parametrize("played", [None, 0, 4])
def test_an_answer_that_was_cut_by_a_loss_is_given_anew_and_stands_once(pieces, played):
    session = new_session()
    (first,) = asked(speak(session))
    reply(session, *pieces, done=False)
    if played is not None:
        receive(session, Played(1, played))
    assert kinds(receive(session, PeerLost(sent=True))) == ["Cancel", "Cancelled", "Final"]
    session, effects = back(session)
    (again,) = asked(effects)
    assert again.request.turns == first.request.turns
    assert again.request.id == "c:2"
    effects = reply(session, "One,", " two,", " three.")
    assert [partial.seq for partial in told(effects, Partial)] == [0, 1, 2]
    assert delivered(session) == ["One, two, three."]


def test_a_loss_is_known_however_often_it_is_told():
    session = new_session()
    speak(session)
    receive(session, PeerLost(sent=True), PeerLost(sent=True))
    assert asked(back(session)[1])


def test_an_answer_that_is_lost_again_is_given_again():
    session = new_session()
    (first,) = asked(speak(session))
    for turn in (2, 3, 4):
        receive(session, PeerLost(sent=True))
        session, effects = back(session)
        (again,) = asked(effects)
        assert (again.request.id, again.request.turns) == (f"c:{turn}", first.request.turns)
    reply(session, "One.")
    assert delivered(session) == ["One."]


@pytest.mark.parametrize(
    ("sent", "played", "had", "given"),
    [
        pytest.param(True, None, None, False, id="sent"),
        pytest.param(False, None, None, True, id="not sent"),
        pytest.param(False, 8, None, False, id="not sent, but all of it was played"),
        pytest.param(False, 4, None, True, id="not sent, half of it was played"),
        pytest.param(True, None, 0, True, id="sent, but it did not arrive"),
        pytest.param(False, None, 1, False, id="not sent, but it did arrive"),
    ],
)
def test_a_whole_answer_is_given_anew_if_it_did_not_arrive(sent, played, had, given):
    session = new_session()
    speak(session)
    reply(session, "One, two")
    if played is not None:
        receive(session, Played(1, played))
    assert receive(session, PeerLost(sent)) == []
    session, effects = back(session, had)
    assert bool(asked(effects)) is given
    assert delivered(session) == ([""] if given else ["One, two"])


@pytest.mark.parametrize("had", [None, 0, 1])
@pytest.mark.parametrize(
    "stopping",
    [
        pytest.param([CancelAsked()], id="cancel"),
        pytest.param([loud(300)], id="speech"),
        pytest.param([PeerLeft()], id="left in order"),
        pytest.param([ResetAsked()], id="reset"),
    ],
)
def test_an_answer_that_was_not_wanted_is_not_given_anew(stopping, had):
    session = new_session()
    speak(session)
    reply(session, "One,", done=False)
    receive(session, *stopping, PeerLost(sent=True))
    assert back(session, had)[1] == []


def test_what_was_said_during_the_answer_that_was_lost_is_answered_with_it():
    session = new_session()
    receive(session, Configured(TurnSettings(interrupt=False)))
    speak(session)
    reply(session, "One,", done=False)
    speak(session)
    receive(session, PeerLost(sent=True))
    session, effects = back(session)
    (again,) = asked(effects)
    (turn,) = again.request.turns
    assert len(turn.parts) == 2


def test_who_comes_to_a_new_conversation_is_told_nothing():
    session = new_session()
    assert receive(session, PeerCame(), PeerCame(7)) == []


# ---- answers -------------------------------------------------------------------------------------


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
        reply(session, *["y"] * 30)
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


# ---- one response -------------------------------------------------------------------------------


def test_a_response_is_due_then_under_way_then_over():
    session = new_session()
    assert session.turns.response is Response.NONE
    speak(session)
    assert session.turns.response is Response.WAITING
    reply(session, "One,", done=False)
    assert session.turns.response is Response.RESPONDING
    reply(session, " two,")
    assert session.turns.response is Response.NONE
    assert session.response is None


def test_a_response_that_fails_keeps_what_was_delivered_and_says_why():
    session = new_session()
    speak(session)
    reply(session, "One,", done=False)
    failed = ResponseFailed(session.response, "engine_error", "It broke.")
    (final,) = notices(receive(session, failed), Final)
    trouble = Trouble("engine_error", "It broke.")
    waited = (("hangover", 500),)
    assert final == Final(1, "One,", "interrupted", None, waited, failure=trouble)


def test_what_stops_a_response_is_told():
    session = new_session()
    for stop, reason in ((CancelAsked(), "asked"), (loud(200), "speech")):
        speak(session)
        reply(session, "One,", done=False)
        (final,) = told(receive(session, stop), Final)
        assert (final.finish, final.reason, final.failure) == ("interrupted", reason, None)


def test_a_commit_stops_a_response_because_it_is_asked_to():
    session = new_session(automatic=False)
    receive(session, loud(500), CommitAsked())
    (final,) = told(receive(session, loud(500), CommitAsked()), Final)
    assert final.reason == "asked"


def test_answers_are_numbered_from_one_and_placed_behind_what_they_answer():
    session = new_session()
    for number in (1, 2, 3):
        (started,) = told(speak(session), ResponseStarted)
        assert started.response == f"c:{number}" == session.response
        assert started.answer.turn == number
        assert started.previous == order(session)[-2]
        (final,) = told(reply(session, "Yes."), Final)
        assert final.turn == number


def test_speech_beside_an_answer_that_goes_on_cuts_nothing_of_it():
    session = new_session(TurnSettings(interrupt=False))
    speak(session)
    reply(session, "One,", " two,", done=False)
    effects = receive(session, Played(1, 4), loud(300))
    assert names(effects) == ["SpeechStarted"]
    assert delivered(session) == ["One, two,"]


def test_what_was_not_played_when_speech_begins_does_not_come_back():
    session = new_session()
    speak(session)
    reply(session, "One,", " two,", " three.")
    receive(session, Played(1, 8))
    (cancelled,) = told(receive(session, loud(300)), Cancelled)
    assert (cancelled.turn, cancelled.text) == (1, "One,")
    assert delivered(session) == ["One,"]


def test_only_the_latest_answer_is_cut_and_only_while_nothing_else_follows_it():
    session = new_session()
    speak(session)
    reply(session, "One,", " two,")
    receive(session, write("By the way."), Played(1, 4))
    assert names(receive(session, loud(300))) == ["SpeechStarted"]
    assert delivered(session) == ["One, two,"]


def test_the_audio_of_a_whole_prompt_is_counted():
    clip = Clip("x", np.zeros(32_000, np.int16))
    half = Clip("y", np.zeros(8_000, np.int16))
    turns = (SystemTurn("s"), UserTurn((clip, "text")), AssistantTurn((1,)), UserTurn((half,)))
    assert audio_of(turns) == 50 + 12
    assert audio_of(()) == 0


def test_nothing_is_waited_for_when_an_answer_is_given_anew():
    session = new_session()
    speak(session)
    receive(session, PeerLost(sent=True))
    again, effects = back(session)
    (started,) = told(effects, ResponseStarted)
    assert started.answer.turn == 2
    (final,) = told(reply(again, "One."), Final)
    assert final.ms == ()


@pytest.mark.parametrize("stop", [CancelAsked(), ResetAsked(), PeerLeft(), PeerLost(sent=True)])
def test_whatever_but_speech_stops_a_response_it_was_asked_to_stop(stop):
    session = new_session()
    speak(session)
    (final,) = told(receive(session, stop), Final)
    assert final.reason == "asked"


def test_who_left_in_order_has_had_the_whole_answer():
    session = new_session()
    speak(session)
    reply(session, "One.")
    receive(session, PeerLeft())
    assert back(session, had=0)[1] == []


@pytest.mark.parametrize("report", [Played(0, 1), Played(2, 1)])
def test_what_was_played_of_another_answer_cuts_nothing_of_this_one(report):
    session = new_session()
    speak(session)
    reply(session, "One,", " two,")
    assert names(receive(session, report, loud(300))) == ["SpeechStarted"]


def test_of_an_answer_that_nobody_has_begun_to_play_nothing_stays():
    session = new_session()
    speak(session)
    reply(session, "1", "2")
    (cancelled,) = told(receive(session, Played(1, 0), loud(300)), Cancelled)
    assert cancelled.text == ""
