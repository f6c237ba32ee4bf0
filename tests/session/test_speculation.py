"""The answer that is asked for at a pause."""

from __future__ import annotations

import pytest
from talking import (
    MS,
    asked,
    codes,
    kinds,
    loud,
    names,
    new_session,
    notices,
    pause,
    quiet,
    receive,
    reply,
    requests,
    speak,
    told,
    write,
)

from realtime.engine.api import AssistantTurn, Clip, Sampling, SystemTurn, UserTurn
from realtime.session.events import (
    Cancel,
    ClearAsked,
    CommitAsked,
    Committed,
    Configured,
    Confirm,
    Effect,
    Final,
    Generate,
    Input,
    InstructionSet,
    ItemAsked,
    ItemCut,
    ItemDropped,
    ItemsResponseAsked,
    ResetAsked,
    ResponseEnded,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    TextDelta,
    TextReceived,
)
from realtime.session.items import UserItem
from realtime.session.session import Session
from realtime.session.settings import TurnSettings
from realtime.session.turn_table import Response


def speculating(*first: Input, **config) -> tuple[Session, list[Effect]]:
    """Pause after speech: the answer has been asked for, the end of speech is not certain."""
    session = new_session(speculate=True, **config)
    return session, pause(session, *first)


def test_a_pause_asks_for_the_answer_and_tells_the_peer_nothing():
    session, effects = speculating()
    assert kinds(effects) == ["SpeechStarted", "Generate"]
    assert asked(effects)[0].request.priority == "low"
    speculation = session.speculations.live.response
    assert (
        receive(session, TextDelta(speculation, (1,), "Hel"), TextDelta(speculation, (2,), "lo"))
        == []
    )
    assert not session.conversation.items


def test_the_end_of_speech_confirms_the_speculation_and_releases_its_pieces():
    session, effects = speculating()
    (generate,) = asked(effects)
    speculation = generate.request.id
    receive(session, TextDelta(speculation, (1,), "Hel"))
    effects = receive(session, quiet(300))
    assert kinds(effects) == ["SpeechStopped", "Confirm", "Partial"]
    assert session.conversation.turns()[0] == generate.request.turns[0]
    effects = receive(
        session, TextDelta(speculation, (2,), "lo"), ResponseEnded(speculation, "stop")
    )
    assert notices(effects, Final) == [Final(1, "Hello", "stop", None, (("hangover", 500),))]


def test_a_speculation_that_is_complete_is_released_as_a_whole():
    session, _ = speculating()
    speculation = session.speculations.live.response
    receive(session, TextDelta(speculation, (1,), "Hello"), ResponseEnded(speculation, "stop"))
    effects = receive(session, quiet(300))
    assert kinds(effects) == ["SpeechStopped", "Confirm", "Partial", "Final"]
    assert session.turns.response is Response.NONE


def test_a_speculation_is_the_turn_that_is_asked_without_speculation():
    _, effects = speculating(TextReceived("Why?"), InstructionSet("Be brief."))
    plain = new_session()
    receive(plain, TextReceived("Why?"), InstructionSet("Be brief."))
    (sure,) = asked(speak(plain))
    (turn,) = asked(effects)[0].request.turns
    assert turn.parts[1] == sure.request.turns[0].parts[1]
    assert turn.parts[0].pcm.tobytes() == sure.request.turns[0].parts[0].pcm.tobytes()


def test_more_speech_drops_the_speculation_and_its_late_pieces():
    session, _ = speculating()
    speculation = session.speculations.live.response
    assert kinds(receive(session, loud(200))) == ["Cancel"]
    assert receive(session, TextDelta(speculation, (1,), "Hello")) == []
    effects = receive(session, quiet(600))
    assert kinds(effects) == ["Generate", "SpeechStopped", "Confirm"]
    assert asked(effects)[0].request.id != speculation
    assert len(asked(effects)[0].request.turns[0].parts[0].pcm) == (300 + 1500 + 200) * MS


@pytest.mark.parametrize("change", [TextReceived("Why?"), InstructionSet("Be brief.")])
def test_a_word_that_changes_the_turn_drops_the_speculation(change):
    session, _ = speculating()
    assert kinds(receive(session, change)) == ["Cancel"]
    effects = receive(session, quiet(300))
    assert kinds(effects) == ["SpeechStopped", "Generate"]
    assert len(asked(effects)[0].request.turns[0].parts) == 2


@pytest.mark.parametrize("end", [ClearAsked(), ResetAsked()])
def test_clearing_drops_the_speculation(end):
    session, _ = speculating()
    assert kinds(receive(session, end)) == ["Cancel", "SpeechStopped"]
    assert receive(session, quiet(1000)) == []


def test_commit_in_a_pause_confirms_the_speculation():
    session, _ = speculating()
    assert kinds(receive(session, CommitAsked())) == ["SpeechStopped", "Confirm"]


def test_a_speculation_that_fails_is_asked_again_in_earnest():
    session, _ = speculating()
    assert (
        receive(session, ResponseFailed(session.speculations.live.response, "busy", "Full.")) == []
    )
    (generate,) = asked(receive(session, quiet(300)))
    assert generate.request.priority == "normal"


def test_no_older_turn_is_lost_for_a_speculation():
    session = new_session(speculate=True, budget_tokens=100)
    for _ in range(2):
        effects = speak(session, 1000)
        reply(session, "Yes.")
    assert codes(effects) == ["conversation_trimmed"]
    assert asked(effects)[0].request.priority == "normal"


def test_looking_at_an_item_loses_no_speculation():
    session = new_session(speculate=True)
    effects = receive(session, quiet(400), loud(600), quiet(300))
    assert [e.role for e in effects if isinstance(e, Generate)] == ["speculation"]
    assert codes(receive(session, ItemAsked("nowhere"))) == ["item_not_found"]
    assert names(receive(session, quiet(400))).count("Confirm") == 1


def test_settings_drop_a_speculation_that_they_make_wrong():
    session = new_session(speculate=True)
    effects = receive(session, quiet(400), loud(600), quiet(300))
    assert [e.role for e in effects if isinstance(e, Generate)] == ["speculation"]
    dropped = receive(session, Configured(TurnSettings(instructions="Be brief.")))
    assert names(dropped) == ["Cancel", "SettingsApplied"]
    (request,) = requests(receive(session, quiet(400)))
    assert request.turns[0] == SystemTurn("Be brief.")


def test_what_a_speculation_asks_is_asked_in_the_conversation_and_changes_nothing_of_it():
    session = new_session(speculate=True, sampling=Sampling(top_k=7))
    speak(session)
    reply(session, "Yes.")
    before = list(session.conversation.items)
    (generate,) = asked(pause(session))
    request = generate.request
    assert (generate.role, request.priority) == ("speculation", "low")
    assert request.conversation == "c"
    assert request.sampling == Sampling(top_k=7)
    assert [type(turn) for turn in request.turns] == [UserTurn, AssistantTurn, UserTurn]
    assert session.conversation.items == before
    assert session.conversation.turn == 1


def test_speculations_on_one_turn_have_ids_of_their_own():
    session, first = speculating()
    second = receive(session, loud(300), quiet(300))
    third = receive(session, loud(300), quiet(300))
    ids = [request.id for request in requests([*first, *second, *third])]
    assert len(set(ids)) == 3
    assert all(id.startswith("c:1?") for id in ids)


@pytest.mark.parametrize(("spare", "speculated"), [(0, True), (-1, False)])
def test_a_speculation_is_made_if_just_no_item_would_leave_for_it(spare, speculated):
    whole = new_session(speculate=True)
    pause(whole)
    needed = whole.conversation.tokens(
        [UserItem("", whole.speculations.live.request.turns[0].parts)]
    )
    session = new_session(speculate=True, budget_tokens=needed + spare)
    assert bool(asked(pause(session))) is speculated


def test_what_was_said_and_written_before_belongs_to_the_speculation():
    session, effects = speculating(TextReceived("Why?"))
    (turn,) = requests(effects)[0].turns
    assert [type(part) for part in turn.parts] == [Clip, str]
    (committed,) = told(receive(session, quiet(300)), Committed)
    assert committed.item.parts == turn.parts


def test_a_speculation_that_is_confirmed_is_the_response_with_its_id():
    session, effects = speculating()
    (request,) = requests(effects)
    effects = receive(session, quiet(300))
    assert names(effects) == ["SpeechStopped", "Committed", "ResponseStarted", "Confirm"]
    (started,) = told(effects, ResponseStarted)
    assert started.response == request.id == session.response
    assert effects[-1] == Confirm(request.id)
    assert session.speculations.live is None
    assert receive(session, TextDelta(request.id, (1,), "Yes.")) != []


@pytest.mark.parametrize(
    "why_not",
    [
        pytest.param({"speculate": False}, id="the server does not"),
        pytest.param({"settings": TurnSettings(respond=False)}, id="no answer will be wanted"),
    ],
)
def test_nothing_is_asked_at_a_pause(why_not):
    session = new_session(**{"speculate": True, **why_not})
    assert names(pause(session)) == ["SpeechStarted"]


def test_nothing_is_asked_at_a_pause_beside_an_answer():
    session = new_session(TurnSettings(interrupt=False), speculate=True)
    speak(session)
    assert session.response is not None
    assert names(pause(session)) == ["SpeechStarted"]


def test_a_speculation_is_dropped_when_the_end_of_speech_is_only_committed():
    session, effects = speculating()
    (request,) = requests(effects)
    effects = receive(session, CommitAsked(respond=False))
    assert names(effects) == ["SpeechStopped", "Cancel", "Committed"]
    assert effects[1] == Cancel(request.id)
    assert session.response is None


@pytest.mark.parametrize(
    "edit", [write("a"), ItemDropped("nowhere"), ItemCut("nowhere", 0)], ids=["put", "drop", "cut"]
)
def test_an_edit_of_the_items_drops_the_speculation(edit):
    session, _ = speculating()
    assert names(receive(session, edit))[0] == "Cancel"
    assert session.speculations.live is None


def test_asking_for_an_answer_to_the_items_drops_the_speculation():
    session, _ = speculating(write("a"))
    answer = ItemsResponseAsked(ResponseOptions())
    assert names(receive(session, answer)) == ["Cancel", "ResponseStarted", "Generate"]
