"""What a conversation keeps, and how it is cut."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.engine.api import AssistantTurn, Clip, Sampling, SystemTurn, UserTurn
from realtime.session.conversation import Conversation, ItemExists, Question, UnknownItem
from realtime.session.events import FRONT, ResponseOptions
from realtime.session.items import (
    Answer,
    AnswerDraft,
    OtherDraft,
    OtherItem,
    Reference,
    SystemDraft,
    SystemItem,
    UserDraft,
    UserItem,
)


def spoken(conversation: Conversation, seconds: float = 1.0):
    return conversation.clip(np.zeros(round(seconds * 16_000), np.int16))


def exchange(conversation: Conversation, seconds: float = 1.0) -> None:
    conversation.add_user((spoken(conversation, seconds),))
    conversation.begin_answer().pieces.append(((1, 2), "ab"))


def test_items_to_come_are_numbered_from_one():
    conversation = Conversation("c")
    assert [conversation.new_id() for _ in range(3)] == ["item_c_1", "item_c_2", "item_c_3"]


def test_turns_come_in_order_with_the_system_prompt_first():
    conversation = Conversation("c", system="Be brief.")
    exchange(conversation)
    conversation.add_user(("and now?",))
    system, first, reply, second = conversation.turns()
    assert system == SystemTurn("Be brief.")
    assert isinstance(first, UserTurn)
    assert reply == AssistantTurn(tokens=(1, 2))
    assert second == UserTurn(("and now?",))


def test_clips_are_named_once_for_ever():
    conversation = Conversation("c")
    names = {spoken(conversation).id for _ in range(5)}
    conversation.clear()
    names.add(spoken(conversation).id)
    assert len(names) == 6


def test_an_unanswered_turn_goes_on():
    conversation = Conversation("c")
    conversation.add_user(("a",))
    conversation.begin_answer()
    assert conversation.unanswered
    conversation.add_user(("b",))
    assert conversation.turns() == (UserTurn(("a\nb",)),)


def test_an_unanswered_turn_does_not_go_on_without_end():
    conversation = Conversation("c")
    for _ in range(50):
        conversation.add_user(("x" * 20,))
        conversation.trim(100)
    assert conversation.tokens() <= 100


def test_items_have_their_own_ids_even_after_clear():
    conversation = Conversation("c")
    ids, turns = set(), set()
    for _ in range(3):
        ids.add(conversation.add_user(("a",)).id)
        answer = conversation.begin_answer()
        ids.add(answer.id)
        turns.add(answer.turn)
        conversation.clear()
    assert len(ids) == 6
    assert turns == {1, 2, 3}


def test_trimming_goes_down_to_two_thirds_in_one_step_and_keeps_the_last_turn():
    conversation = Conversation("c", system="Be brief.")
    for _ in range(10):
        exchange(conversation)
    conversation.add_user(("now",))
    before = conversation.tokens()
    assert conversation.trim(before) == []
    dropped = conversation.trim(before - 1)
    assert len(dropped) % 2 == 0
    assert dropped
    assert conversation.tokens() <= (before - 1) * 2 // 3
    assert isinstance(conversation.items[0], UserItem)
    assert conversation.trim(1)
    assert list(conversation.turns()) == [SystemTurn("Be brief."), UserTurn(("now",))]


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        pytest.param(90, 9, id="it fits"),
        pytest.param(89, 5, id="one token over"),
        pytest.param(75, 5, id="two thirds are just five"),
        pytest.param(74, 4, id="two thirds are just not five"),
        pytest.param(15, 1, id="the last stays"),
    ],
)
def test_over_the_budget_no_more_leaves_than_down_to_two_thirds(budget, left):
    conversation = Conversation("c")
    items = [conversation.add_user((f"turn {i} .",)) for i in range(9)]
    assert conversation.tokens() == 9 * 10
    assert conversation.trim(budget) == items[: 9 - left]
    assert conversation.items == items[9 - left :]


def test_answers_leave_too_when_no_further_user_item_comes():
    conversation = Conversation("c", system="Be brief.")
    conversation.add_user(("Go on.",))
    for _ in range(200):
        conversation.begin_answer().pieces.append((tuple(range(50)), "on and on"))
        conversation.begin_answer()  # it failed before its first piece
        conversation.trim(600)
        assert conversation.tokens() <= 600
    first, *rest = conversation.items
    assert first.parts == ("Go on.",)
    assert all(isinstance(item, Answer) for item in rest)


def test_a_single_turn_over_the_budget_stays():
    conversation = Conversation("c")
    conversation.add_user((spoken(conversation, 30),))
    assert conversation.trim(10) == []
    assert len(conversation.items) == 1


# ---- items --------------------------------------------------------------------------------------


def test_the_ids_it_makes_are_none_that_a_peer_has_taken():
    conversation = Conversation("c")
    conversation.place(UserDraft("item_c_2", ("taken",)))
    assert [conversation.new_id() for _ in range(2)] == ["item_c_1", "item_c_3"]
    assert conversation.has("item_c_2")
    assert not conversation.has("item_c_1")


def test_each_kind_of_item_is_made_of_what_the_peer_brought():
    conversation = Conversation("c")
    recording = np.ones(31 * 16_000, np.int16)
    user = conversation.place(UserDraft("u", ("Listen:", recording, "Why?"), "It rains."))
    assert [type(part) for part in user.parts] == [str, Clip, Clip, str]
    assert [len(clip.pcm) for clip in user.clips] == [15.5 * 16_000] * 2
    assert user.transcript == "It rains."
    assert conversation.place(SystemDraft("s", "Be brief.")) == SystemItem("s", "Be brief.")
    assert conversation.place(OtherDraft("o", {"x": 1})) == OtherItem("o", {"x": 1})
    assert conversation.place(AnswerDraft("a", "Yes.")) == Answer("a", 0, [((), "Yes.")])
    assert conversation.place(AnswerDraft("e", "")) == Answer("e", 0, [])
    assert conversation.place(SystemDraft(None, "x")).id == "item_c_1"


def test_items_have_their_places():
    conversation = Conversation("c")
    places = (("b", None), ("a", FRONT), ("c", None), ("ab", "a"), ("d", "c"), ("0", FRONT))
    for id, after in places:
        conversation.place(SystemDraft(id, id), after)
    assert [item.id for item in conversation.items] == ["0", "a", "ab", "b", "c", "d"]
    assert conversation.previous("0") is None
    assert conversation.previous("a") == "0"
    assert conversation.previous("ab") == "a"
    assert conversation.previous("d") == "c"


def test_no_item_is_put_twice_or_behind_none():
    conversation = Conversation("c")
    conversation.place(SystemDraft("a", "x"))
    with pytest.raises(ItemExists, match="a"):
        conversation.place(SystemDraft("a", "y"))
    with pytest.raises(UnknownItem, match="nowhere"):
        conversation.place(SystemDraft("b", "y"), "nowhere")
    assert conversation.items == [SystemItem("a", "x")]


def test_an_item_that_is_replaced_keeps_its_place_and_one_that_is_gone_does_not_come_back():
    conversation = Conversation("c")
    for id in "abc":
        conversation.place(SystemDraft(id, id))
    conversation.replace(SystemItem("b", "new"))
    conversation.replace(SystemItem("z", "late"))
    assert [item.text for item in conversation.items] == ["a", "new", "c"]


def test_what_the_user_says_keeps_the_id_it_was_announced_with_unless_that_is_taken():
    conversation = Conversation("c")
    assert conversation.add_user(("a",), "mine").id == "mine"
    assert conversation.add_user(("b",), "mine").id == "item_c_1"
    assert conversation.add_user(("c",)).id == "item_c_2"


def test_the_last_answer_is_one_only_while_it_is_the_last_item():
    conversation = Conversation("c")
    assert conversation.last_answer is None
    answer = conversation.begin_answer()
    assert conversation.last_answer is answer
    conversation.add_user(("a",))
    assert conversation.last_answer is None


def test_a_question_is_open_until_something_of_an_answer_was_delivered():
    conversation = Conversation("c")
    assert not conversation.unanswered
    conversation.place(SystemDraft(None, "rule"))
    assert not conversation.unanswered
    conversation.add_user(("a",))
    conversation.place(SystemDraft(None, "rule"))
    assert conversation.unanswered
    conversation.begin_answer().pieces.append(((1,), "a"))
    assert not conversation.unanswered


def test_who_spoke_behind_an_item_is_looked_for_only_behind_it():
    conversation = Conversation("c")
    first, answer = conversation.add_user(("a",)), conversation.begin_answer()
    assert not conversation.spoken_after(answer.id)
    assert not conversation.spoken_after(first.id)
    conversation.place(SystemDraft("s", "rule"))
    assert not conversation.spoken_after(answer.id)
    conversation.add_user(("b",))
    conversation.place(SystemDraft("t", "rule"))
    assert conversation.spoken_after(answer.id)
    conversation.items.remove(answer)
    assert conversation.spoken_after(answer.id), "it is gone"
    conversation.clear()
    assert not conversation.spoken_after(answer.id)


@pytest.mark.parametrize(
    ("lost", "had", "again"),
    [
        (True, None, True), (False, None, False),
        (True, 0, True), (False, 0, True), (True, 1, False), (True, 2, False),
    ],
)  # fmt: skip
def test_an_answer_is_missed_if_the_peer_did_not_have_its_turn(lost, had, again):
    conversation = Conversation("c")
    conversation.add_user(("a",))
    answer = conversation.begin_answer()
    question = Question(answer, conversation.turns(), Sampling(), ResponseOptions(), lost)
    conversation.question = question
    assert conversation.missed(had) is (question if again else None)
    assert (answer in conversation.items) is not again
    assert conversation.missed(0) is None, "it is told once"


def test_a_question_is_not_lost_until_it_is():
    assert not Question(Answer("a", 1), (), Sampling(), ResponseOptions()).lost


def test_forgetting_the_items_keeps_the_system_prompt_and_asks_nothing_again():
    conversation = Conversation("c", system="Be brief.")
    conversation.add_user(("a",))
    question = Question(conversation.begin_answer(), (), Sampling(), ResponseOptions(), lost=True)
    conversation.question = question
    conversation.clear()
    assert conversation.turns() == (SystemTurn("Be brief."),)
    assert conversation.missed(None) is None


# ---- what the model is given --------------------------------------------------------------------


def test_instructions_of_the_application_stand_behind_the_system_prompt():
    conversation = Conversation("c", system="Be brief.")
    conversation.place(UserDraft("u", ("Why?",)))
    conversation.place(SystemDraft(None, "Be kind."))
    user = UserTurn(("Why?",))
    assert conversation.turns() == (SystemTurn("Be brief.\n\nBe kind."), user)
    assert conversation.turns(system="Sing.") == (SystemTurn("Sing.\n\nBe kind."), user)
    assert conversation.turns(system="") == (SystemTurn("Be kind."), user)
    assert conversation.turns(conversation.items[:1], system="") == (user,)
    assert conversation.turns([]) == (SystemTurn("Be brief."),)
    conversation.system = None
    assert conversation.turns() == (SystemTurn("Be kind."), user)


def test_neighbouring_user_items_are_one_turn_first_what_was_said_then_what_was_written():
    conversation = Conversation("c")
    one, two = (spoken(conversation) for _ in range(2))
    for parts in ((one, "one"), ("written",), (two,), ("more",)):
        conversation.add_user(parts)
    assert conversation.turns() == (UserTurn((one, "one", two, "written\nmore")),)


def test_what_the_model_never_sees_separates_nothing():
    conversation = Conversation("c")
    conversation.add_user(("a",))
    conversation.place(OtherDraft(None, {"type": "function_call"}))
    conversation.begin_answer()
    conversation.add_user(("b",))
    conversation.place(AnswerDraft(None, "Yes."))
    conversation.add_user(("c",))
    assert conversation.turns() == (
        UserTurn(("a\nb",)),
        AssistantTurn(text="Yes."),
        UserTurn(("c",)),
    )


def test_items_apart_from_the_conversation_are_made_or_found():
    conversation = Conversation("c")
    item = conversation.add_user(("a",), "A")
    found, made = conversation.resolve([Reference("A"), UserDraft("B", ("b",))])
    assert found is item
    assert made == UserItem("B", ("b",))
    assert conversation.items == [item]
    with pytest.raises(UnknownItem):
        conversation.resolve([Reference("B")])


# ---- the budget ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draft", "tokens"),
    [
        (UserDraft(None, ("12345678",)), 6 + 4),
        (UserDraft(None, ("123456789", "1")), 6 + 5 + 1),
        (UserDraft(None, ("äöü",)), 6 + 3),
        (UserDraft(None, (np.zeros(16_000, np.int16), "12")), 6 + 8 + 25 + 1),
        (SystemDraft(None, "1234"), 6 + 2),
        (AnswerDraft(None, "1234"), 6 + 2),
        (AnswerDraft(None, ""), 6),
        (OtherDraft(None, {"a": 1}), 6 + 4),
        (UserDraft(None, ("\ud800",)), 6 + 1),
    ],
    ids=str,
)
def test_text_counts_half_its_bytes_and_audio_what_it_takes_and_each_item_its_frame(draft, tokens):
    conversation = Conversation("c")
    conversation.place(draft)
    assert conversation.tokens() == tokens
    assert conversation.tokens([]) == 0
    conversation.system = "1234"
    assert conversation.tokens() == tokens + 6 + 2


def test_an_answer_counts_the_tokens_delivered_and_not_their_text_again():
    conversation = Conversation("c")
    answer = conversation.begin_answer()
    answer.pieces += [((1, 2, 3), "a long text of three tokens"), ((4,), "")]
    assert conversation.tokens() == 6 + 4


def test_instructions_never_leave_and_what_stood_beside_what_left_goes_along():
    conversation = Conversation("c")
    conversation.place(SystemDraft("s", "12345678"))
    conversation.add_user(("12345678",), "a")
    conversation.place(OtherDraft("o", {}))
    conversation.begin_answer().pieces.append(((1,), "x"))
    conversation.place(SystemDraft("t", "12345678"))
    for id in "bc":
        conversation.add_user(("12345678",), id)
    whole = conversation.tokens()
    dropped = conversation.trim(whole - 1)
    assert [item.id for item in dropped][:2] == ["a", "o"]
    assert len(dropped) == 3
    assert [item.id for item in conversation.items] == ["s", "t", "b", "c"]


def test_behind_the_last_user_item_the_oldest_answers_leave_until_two_thirds_are_left():
    conversation = Conversation("c")
    conversation.add_user(("12345678",), "u")  # 10 tokens
    for _ in range(5):
        conversation.begin_answer().pieces.append(((1, 2, 3, 4), "x"))  # 10 tokens
    conversation.place(SystemDraft("s", "12345678"))
    answers = conversation.items[1:6]
    assert conversation.trim(70) == []
    assert conversation.trim(60) == answers[:3]
    assert [item.id for item in conversation.items] == ["u", *(a.id for a in answers[3:]), "s"]


def test_what_has_left_with_its_user_item_is_not_counted_again_among_the_answers():
    conversation = Conversation("c")
    for id in "uv":
        conversation.add_user(("12345678",), id)  # 10 tokens
        for _ in range(4):
            conversation.begin_answer().pieces.append(((1, 2, 3, 4), "x"))  # 10 tokens
    items = list(conversation.items)
    assert conversation.trim(45) == [*items[:5], *items[6:8]]
    assert conversation.items == [items[5], *items[8:]]


def test_what_stands_before_the_first_user_item_leaves_with_it():
    conversation = Conversation("c")
    conversation.place(AnswerDraft("hello", "1234567890" * 4))  # 26 tokens
    for id in "uv":
        conversation.add_user(("12345678",), id)  # 10 tokens
    assert [item.id for item in conversation.trim(45)] == ["hello", "u"]


def test_answers_stay_when_they_just_fit_once_the_older_turns_are_gone():
    conversation = Conversation("c")
    conversation.add_user(("12345678",), "u")  # 10 tokens
    conversation.add_user(("12345678",), "v")
    for _ in range(3):
        conversation.begin_answer().pieces.append(((1, 2, 3, 4), "x"))  # 10 tokens
    assert [item.id for item in conversation.trim(40)] == ["u"]
    assert conversation.tokens() == 40
