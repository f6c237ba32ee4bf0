"""What a conversation keeps, and how it is cut."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.engine.api import AssistantTurn, SystemTurn, UserTurn
from realtime.session.conversation import Conversation
from realtime.session.items import Answer, UserItem


def spoken(conversation: Conversation, seconds: float = 1.0):
    return conversation.clip(np.zeros(round(seconds * 16_000), np.int16))


def exchange(conversation: Conversation, seconds: float = 1.0) -> None:
    conversation.add_user((spoken(conversation, seconds),))
    conversation.begin_answer().pieces.append(((1, 2), "ab"))


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
