"""The user turn that is being made."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.engine.api import Clip
from realtime.session.conversation import Conversation
from realtime.session.pending import PendingTurn


@pytest.fixture
def turn() -> PendingTurn:
    return PendingTurn(Conversation("c"), 10)


def sound(seconds: float) -> np.ndarray:
    return np.ones(round(seconds * 16_000), np.int16)


def test_nothing_is_pending_at_first(turn):
    assert not turn
    assert turn.parts() == ()
    assert turn.seconds == 0
    assert turn.take() == ((), None)


def test_what_was_said_comes_before_what_was_written(turn):
    assert turn.write("Why?")
    turn.hear(sound(1))
    turn.hear(sound(0.5))
    assert turn
    assert turn.seconds == 1.5
    first, second, text = turn.parts()
    assert (first.id, len(first.pcm)) == ("c/1", 16_000)
    assert (second.id, len(second.pcm)) == ("c/2", 8_000)
    assert text == "Why?"


def test_the_standing_instruction_comes_before_other_text_and_is_no_turn_by_itself(turn):
    assert turn.instruct("Be brief.")
    assert not turn
    assert turn.parts() == ("Be brief.",)
    turn.write("Why?")
    turn.write("How?")
    assert turn
    assert turn.parts() == ("Be brief.\nWhy?\nHow?",)


def test_what_is_still_being_said_stands_behind_what_was(turn):
    turn.hear(sound(1))
    turn.write("Why?")
    last = Clip("last", sound(1))
    assert turn.parts(last) == (*turn.clips, last, "Why?")
    assert turn.parts() == (*turn.clips, "Why?")


def test_text_is_bounded_in_bytes_all_together(turn):
    assert turn.write("12345")
    assert not turn.write("äöü")  # 6 bytes
    assert turn.write("6789X")
    assert not turn.write("1")
    assert turn.texts == ["12345", "6789X"]
    assert turn.write("")
    assert turn.texts == ["12345", "6789X"], "nothing is no text"


def test_an_instruction_is_bounded_by_itself_and_the_one_before_stays(turn):
    turn.write("1234567890")
    assert turn.instruct("Sei kürz.")  # 10 bytes
    assert not turn.instruct("Sei kürzer")
    assert turn.instruction == "Sei kürz."


def test_a_turn_has_one_id_and_the_next_another(turn):
    first = turn.name_item()
    assert turn.name_item() == first
    turn.write("Why?")
    assert turn.take() == (("Why?",), first)
    assert turn.name_item() != first


@pytest.mark.parametrize("end", [PendingTurn.take, PendingTurn.clear])
def test_only_the_standing_instruction_goes_into_the_next_turn(turn, end):
    turn.hear(sound(1))
    turn.write("Why?")
    turn.instruct("Be brief.")
    turn.name_item()
    end(turn)
    assert not turn
    assert turn.item is None
    assert turn.parts() == ("Be brief.",)
