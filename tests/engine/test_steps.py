"""The words that the worker's loop and the model share."""

from __future__ import annotations

import numpy as np

from realtime.engine.api import Clip
from realtime.engine.audio_tokens import audio_tokens
from realtime.engine.steps import Placed, Prompt


def clip(name: str, seconds: float) -> Clip:
    return Clip(name, np.zeros(int(16_000 * seconds), np.int16))


def test_a_clip_ends_behind_its_audio_tokens():
    placed = Placed(3, clip("a", 1.0))
    assert placed.stop == 3 + audio_tokens(16_000) == 28


def test_a_cell_is_named_by_the_token_or_by_the_frame_of_a_clip():
    first, second = Placed(1, clip("a", 0.1)), Placed(5, clip("b", 0.1))
    assert (first.stop, second.stop) == (3, 7)
    prompt = Prompt((7, 0, 0, 8, 9, 0, 0), (first, second))
    assert prompt.cells() == [7, ("a", 0), ("a", 1), 8, 9, ("b", 0), ("b", 1)]


def test_an_audio_token_that_a_model_said_itself_stays_a_token():
    assert Prompt((0, 7, 0), ()).cells() == [0, 7, 0]


def test_what_others_may_begin_with_is_nothing_unless_it_is_told():
    assert Prompt((1, 2), ()).head == 0
