"""Pieces are whole characters, and joined they are what the tokenizer decodes."""

from __future__ import annotations

import pytest
import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models

from realtime.engine.detokenise import Detokeniser, Fragment, Spelling
from realtime.errors import ModelError

TOKENIZER = tiny_model.tokenizer()
BACKEND = TOKENIZER.backend_tokenizer
BACKEND.add_tokens([AddedToken("<plain added 字>", special=False)])
SPELLING = Spelling(BACKEND)
TOKENS = st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=40)


def detokenise(tokens, prefix=()) -> list[Fragment]:
    detokeniser = Detokeniser(SPELLING, tuple(prefix))
    pieces = [piece for token in tokens if (piece := detokeniser.push(token))]
    return [*pieces, detokeniser.finish()]


def decode(tokens) -> str:
    return BACKEND.decode(list(tokens), skip_special_tokens=True)


def joined(pieces) -> str:
    return "".join(piece.text for piece in pieces)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_text_of_any_kind_comes_back_without_a_broken_character(text):
    tokens = BACKEND.encode(text, add_special_tokens=False).ids
    *pieces, end = detokenise(tokens)
    assert joined(pieces) == decode(tokens)
    assert end == Fragment((), "")
    assert [t for piece in pieces for t in piece.tokens] == tokens
    if "\ufffd" not in text:
        assert all("\ufffd" not in piece.text for piece in pieces)


@settings(deadline=None, max_examples=300)
@given(TOKENS)
def test_any_tokens_give_exactly_what_the_tokenizer_decodes(tokens):
    pieces = detokenise(tokens)
    assert joined(pieces) == decode(tokens)
    assert [t for piece in pieces for t in piece.tokens] == tokens


@settings(deadline=None, max_examples=300)
@given(TOKENS)
def test_every_boundary_between_pieces_is_a_place_to_resume(tokens):
    pieces = detokenise(tokens)
    for cut in range(len(pieces)):
        given_out = [t for piece in pieces[:cut] for t in piece.tokens]
        assert decode(given_out) == joined(pieces[:cut])
        assert joined(detokenise(tokens[len(given_out) :], given_out)) == joined(pieces[cut:])


@settings(deadline=None)
@given(TOKENS, st.integers(0, 40))
def test_resuming_inside_a_character_loses_nothing_after_the_prefix(tokens, cut):
    prefix, rest = tokens[:cut], tokens[cut:]
    whole = decode(tokens)
    assert whole.endswith(joined(detokenise(rest, prefix)))


@pytest.mark.parametrize("text", ["你好，世界", "👋🏽 👩‍👩‍👧", "مرحبا بالعالم", "naïve ñandú"])
def test_a_character_of_several_tokens_is_held_until_whole(text):
    letters = [chr(c) for c in range(256, 324)]
    tokens = BACKEND.encode(text, add_special_tokens=False).ids
    pieces = detokenise(tokens)
    assert joined(pieces) == text
    assert all(piece.text or not piece.tokens for piece in pieces)
    assert not any(letter in joined(pieces) for letter in letters if letter not in text)


def test_broken_last_bytes_become_the_replacement_character_only_at_the_end():
    first = BACKEND.encode("世", add_special_tokens=False).ids[0]
    detokeniser = Detokeniser(SPELLING)
    held = [detokeniser.push(first)]
    assert held == [None] or SPELLING[first] == "世".encode()
    if held == [None]:
        assert detokeniser.finish() == Fragment((first,), "\ufffd")


def test_special_tokens_have_no_text_and_are_kept():
    end = BACKEND.token_to_id("<|im_end|>")
    assert detokenise([end])[0] == Fragment((end,), "")


def test_ids_beyond_the_vocabulary_have_no_text():
    assert joined(detokenise([len(TOKENIZER) + 500])) == ""


def test_a_tokenizer_that_does_not_spell_bytes_is_no_model():
    other = Tokenizer(models.BPE())
    other.decoder = decoders.WordPiece()
    with pytest.raises(ModelError, match="found WordPiece"):
        Spelling(other)
    with pytest.raises(ModelError, match="found None"):
        Spelling(Tokenizer(models.BPE()))
