"""What is computed at each position, and where clips lie in a prompt."""

from __future__ import annotations

import numpy as np

from realtime.engine.api import Clip
from realtime.engine.steps import Placed, Prompt

SECOND = Clip("s", np.zeros(16_000, np.int16))
FIFTH = Clip("f", np.zeros(3_200, np.int16))


def test_a_clip_takes_as_many_positions_as_its_audio_has_tokens():
    assert (Placed(3, SECOND).start, Placed(3, SECOND).stop) == (3, 28)
    assert Placed(0, FIFTH).stop == 5


def test_a_position_is_named_by_its_token_or_by_its_place_in_a_clip():
    prompt = Prompt((7, *[9] * 5, 8), (Placed(1, FIFTH),))
    assert prompt.cells() == [7, *[("f", i) for i in range(5)], 8]


def test_without_clips_positions_are_named_by_their_tokens_even_by_one_that_means_audio():
    assert Prompt((7, 9, 9), ()).cells() == [7, 9, 9]


def test_two_clips_stay_apart():
    prompt = Prompt((*[9] * 5, 1, *[9] * 25), (Placed(0, FIFTH), Placed(6, SECOND)))
    cells = prompt.cells()
    assert cells[4:7] == [("f", 4), 1, ("s", 0)]
    assert (len(cells), cells[-1]) == (31, ("s", 24))
