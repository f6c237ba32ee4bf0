"""What a peer does to the items of its conversation."""

from __future__ import annotations

import numpy as np
import pytest
from talking import (
    codes,
    loud,
    names,
    new_session,
    order,
    quiet,
    receive,
    reply,
    requests,
    speak,
    told,
    write,
)

from realtime.engine.api import AssistantTurn, Clip, UserTurn
from realtime.session.events import (
    FRONT,
    CancelAsked,
    ItemAsked,
    ItemCut,
    ItemDropped,
    ItemGone,
    ItemPut,
    ItemsResponseAsked,
    ResponseOptions,
)
from realtime.session.items import (
    AnswerDraft,
    OtherDraft,
    Reference,
    SystemDraft,
    UserDraft,
    UserItem,
)
from realtime.session.settings import TurnSettings


def test_items_are_put_at_the_end_the_front_and_behind_another():
    session = new_session()
    receive(session, write("b", "B"), write("a", "A", FRONT), write("ab", "AB", "A"))
    receive(session, ItemPut(AnswerDraft("D", "Hi.")))
    assert order(session) == ["A", "AB", "B", "D"]
    assert session.conversation.turns() == (UserTurn(("a\nab\nb",)), AssistantTurn(text="Hi."))


def test_what_is_written_while_somebody_speaks_is_the_instruction_of_that_turn():
    session = new_session()
    receive(session, quiet(400), loud(500))
    receive(session, write("What does the person say?"))
    (request,) = requests(receive(session, quiet(700)))
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
    effects = [effect for _ in range(12) for effect in speak(session, 2000)]
    assert session.conversation.tokens() <= 400
    gone = [notice.item for notice in told(effects, ItemGone)]
    assert set(gone).isdisjoint(order(session))
    assert len(gone) + len(order(session)) == 12


def test_an_id_that_the_peer_has_taken_is_not_given_again():
    session = new_session()
    receive(session, write("mine", "item_c_1"))
    speak(session)
    receive(session, CancelAsked(), loud(300))
    coming = session.pending.name_item()
    receive(session, write("mine, too", coming))
    receive(session, quiet(700))
    assert len(order(session)) == len(set(order(session)))
    assert session.conversation.items[0].parts == ("mine",)


def test_an_answer_is_cut_to_what_the_user_has_had_as_often_as_wanted():
    session = new_session()
    speak(session)
    reply(session, "One,", " two,", " three.")
    answer = session.conversation.last_answer.id
    for chars, kept in [(None, 3), (16, 3), (15, 2), (9, 2), (9, 2), (8, 1), (0, 0)]:
        assert names(receive(session, ItemCut(answer, chars))) == ["ItemTruncated"]
        assert len(session.conversation.items[1].pieces) == kept
    assert [type(turn) for turn in session.conversation.turns()] == [UserTurn]
