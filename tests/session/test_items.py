"""Items: what an answer keeps when it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.engine.api import Clip
from realtime.session.items import Answer, UserItem


def answer(**more) -> Answer:
    return Answer("a", 1, [((1, 2), "One,"), ((3,), " two")], **more)


def test_an_answer_is_the_text_and_the_tokens_of_its_pieces():
    assert answer().text == "One, two"
    assert answer().tokens == (1, 2, 3)


def test_an_answer_begins_empty_and_nobody_has_heard_it():
    new = Answer("a", 1)
    assert (new.pieces, new.text, new.tokens, new.played) == ([], "", (), None)
    assert not new.cut(0)


@pytest.mark.parametrize(("played", "all_of_it"), [(None, False), (7, False), (8, True), (9, True)])
def test_all_of_an_answer_is_played_once_its_last_character_is(played, all_of_it):
    assert answer(played=played).played_out is all_of_it


def test_an_answer_of_which_nobody_reports_what_was_played_is_not_cut():
    unreported = answer()
    assert not unreported.cut_to_played()
    assert unreported.text == "One, two"


def test_what_was_said_in_an_item_is_its_clips_in_order():
    first, second = (Clip(id, np.zeros(9, np.int16)) for id in "ab")
    item = UserItem("u", ("Listen:", first, "and", second))
    assert item.clips == (first, second)
    assert item.transcript is None


PIECES = st.lists(
    st.tuples(st.lists(st.integers(0, 99), max_size=3).map(tuple), st.text(max_size=4)), max_size=8
)


@settings(deadline=None)
@given(PIECES, st.integers(0, 40))
def test_a_cut_keeps_the_tokens_of_the_text_it_keeps(pieces, played):
    answer = Answer("a", 1, list(pieces))
    whole = answer.text
    answer.played = played
    dropped = answer.cut_to_played()
    assert whole.startswith(answer.text)
    assert len(answer.text) <= played
    kept = len(answer.pieces)
    assert answer.pieces == pieces[:kept]
    assert dropped == (kept < len(pieces))
    if dropped:
        assert len(answer.text + pieces[kept][1]) > played
    assert not answer.cut_to_played(), "cutting twice changes nothing"
