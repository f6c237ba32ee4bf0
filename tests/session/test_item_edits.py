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
    ItemPlaced,
    ItemPut,
    ItemShown,
    ItemsResponseAsked,
    ResponseOptions,
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


def test_an_item_is_placed_behind_the_one_before_it_and_shown_as_it_is():
    session = new_session()
    (first,) = told(receive(session, write("a", "A")), ItemPlaced)
    (second,) = told(receive(session, write("b", "B")), ItemPlaced)
    assert (first.item, first.previous) == (session.conversation.items[0], None)
    assert (second.item.id, second.previous) == ("B", "A")
    (shown,) = told(receive(session, ItemAsked("B")), ItemShown)
    assert shown.item is second.item


def test_an_item_that_is_dropped_is_gone():
    session = new_session()
    receive(session, write("a", "A"), write("b", "B"))
    (gone,) = told(receive(session, ItemDropped("A")), ItemGone)
    assert gone.item == "A"
    assert order(session) == ["B"]
    assert codes(receive(session, ItemDropped("A"))) == ["item_not_found"]


@pytest.mark.parametrize(
    ("samples", "code"),
    [(1_599, "audio_too_short"), (1_600, None), (960_000, None), (960_001, "audio_too_long")],
)
def test_a_recording_may_be_just_as_short_and_as_long_as_a_turn(samples, code):
    session = new_session(max_turn_s=60)
    recording = UserDraft("r", (np.zeros(samples, np.int16),))
    assert codes(receive(session, ItemPut(recording))) == ([code] if code else [])
    assert order(session) == ([] if code else ["r"])


def test_a_recording_behind_words_is_looked_at_too():
    session = new_session()
    draft = UserDraft(None, ("Listen:", np.zeros(9, np.int16)))
    assert codes(receive(session, ItemPut(draft))) == ["audio_too_short"]


@pytest.mark.parametrize(("budget", "code"), [(26, None), (25, "conversation_full")])
def test_only_what_the_user_says_makes_others_leave(budget, code):
    session = new_session(budget_tokens=budget)
    receive(session, write("12345678", "A"))  # 10 tokens
    draft = SystemDraft("B", "1" * 20)  # 16 tokens
    assert codes(receive(session, ItemPut(draft))) == ([code] if code else [])
    assert order(session) == (["A"] if code else ["A", "B"])
    effects = receive(session, write("1" * 20, "C"))
    assert told(effects, ItemGone)[0].item == "A"
    assert codes(effects) == ["conversation_trimmed"]


def test_what_left_is_counted_for_the_peer():
    session = new_session(budget_tokens=40)
    for id in "ABCD":
        receive(session, write("12345678", id))
    effects = receive(session, write("12345678", "E"))
    assert names(effects) == ["ItemPlaced", "ItemGone", "ItemGone", "ItemGone", "Trouble"]
    (trouble,) = told(effects, Trouble)
    assert trouble.message == "The conversation was too long: its 3 oldest items were dropped."
    assert not trouble.fatal
    assert order(session) == ["D", "E"]


def test_the_first_thing_wrong_with_a_responses_own_input_is_told():
    session = new_session()
    short = UserDraft(None, (np.zeros(9, np.int16),))
    for input, code in (
        ((UserDraft(None, ("a",)), short), "audio_too_short"),
        ((UserDraft(None, ("a",)), Reference("nowhere")), "item_not_found"),
    ):
        asked_ = ItemsResponseAsked(ResponseOptions(input=input))
        assert codes(receive(session, asked_)) == [code]
    assert order(session) == []
