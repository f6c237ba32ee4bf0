"""Where clips lie in a prompt, and what a sequence holds."""

from __future__ import annotations

import numpy as np

from realtime.engine.api import Clip, Sampling
from realtime.engine.steps import Allocation, Placed, Prompt, Sequence

SECOND = Clip("s", np.zeros(16_000, np.int16))
FIFTH = Clip("f", np.zeros(3_200, np.int16))


def test_a_clip_takes_as_many_positions_as_its_audio_has_tokens():
    assert (Placed(3, SECOND).start, Placed(3, SECOND).stop) == (3, 28)
    assert Placed(0, FIFTH).stop == 5


def test_a_sequence_begins_with_its_prompt_and_what_was_said_already():
    sequence = Sequence(1, Prompt((7, 8), ()), Sampling(), (9,))
    assert (sequence.tokens, sequence.said) == ([7, 8, 9], 1)
    sequence.tokens.append(10)
    assert (sequence.prompt.ids, sequence.said) == ((7, 8), 2)


def test_a_sequence_knows_where_its_clips_begin_without_their_samples():
    prompt = Prompt((*[9] * 5, 1, *[9] * 25), (Placed(0, FIFTH), Placed(6, SECOND)))
    assert Sequence(1, prompt, Sampling()).heard == ((0, "f"), (6, "s"))


def test_a_sequence_decodes_once_all_but_its_last_token_is_computed():
    allocation = Allocation(64, 8, used=1)
    sequence = Sequence(1, Prompt((7, 8, 9), ()), Sampling(), allocation=allocation)
    assert (allocation.stop, sequence.used, sequence.left) == (72, 1, 2)
    assert not sequence.decodes
    allocation.used = 2
    assert sequence.decodes
