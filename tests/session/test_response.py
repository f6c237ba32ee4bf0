"""The response of a conversation: asked for, delivered, stopped, and asked for anew."""

from __future__ import annotations

import pytest
from fakes import LoudVad
from talking import (
    asked,
    codes,
    kinds,
    loud,
    new_session,
    order,
    receive,
    reply,
    requests,
    speak,
    told,
    write,
)

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import Sampling, SystemTurn, UserTurn
from realtime.session.events import (
    CancelAsked,
    Configured,
    Effect,
    ItemGone,
    ItemsResponseAsked,
    Partial,
    PeerCame,
    PeerLeft,
    PeerLost,
    Played,
    ResetAsked,
    ResponseOptions,
)
from realtime.session.items import Answer, Reference, UserDraft
from realtime.session.session import Session
from realtime.session.settings import TurnSettings

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
