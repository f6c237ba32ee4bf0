"""Where Ogg streams end."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from encoding import KINDS, encode

from realtime.audio import ogg
from realtime.errors import AudioError

NOISE = 0.1 * np.random.default_rng(8).standard_normal(5 * 48_000)
WHOLE = encode(NOISE, KINDS["opus"])


def test_a_whole_file_is_one_stream_that_ends():
    ogg.check_end(BytesIO(WHOLE))
    assert not ogg.joined(BytesIO(WHOLE))


@pytest.mark.parametrize("missing", [1, 20, 500, len(WHOLE) // 2, len(WHOLE) - 1])
def test_a_file_without_its_last_page_does_not_end(missing: int):
    with pytest.raises(AudioError, match="cut off"):
        ogg.check_end(BytesIO(WHOLE[:-missing]))


@pytest.mark.parametrize("behind", [WHOLE, b"OggS", b"tags", bytes(300)])
def test_what_comes_behind_is_seen(behind: bytes):
    assert ogg.joined(BytesIO(WHOLE + behind))
