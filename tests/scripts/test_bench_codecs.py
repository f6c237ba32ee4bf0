"""The benchmark measures every side, and says what follows from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import bench_codecs
import pytest


@pytest.mark.script_scale
def test_every_side_is_measured(capsys):
    bench_codecs.main(["--streams=20", "--seconds=2", "--rounds=1"])
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    sides = {"pcm", "pcm24", "openai"}
    assert set(found["codec"]) == set(found["gateway"]) == set(found["streams_per_core"]) == sides
    assert min(*found["codec"].values(), *found["gateway"].values()) > 0
    difference = found["gateway"]["openai"] - found["gateway"]["pcm"]
    assert found["extra"] == pytest.approx(difference, abs=0.11)


def test_all_sides_decode_the_same_length():
    lengths = {}
    for name, make in bench_codecs.codecs().items():
        codec, (_, messages) = make(), bench_codecs.SIDES[name]
        pcm = [said.pcm.size for m in messages * 2 for said in codec.decode(m)]
        lengths[name] = sum(pcm)
    assert lengths["pcm"] == 2 * 16_000
    assert abs(lengths["openai"] - lengths["pcm"]) < 320
    assert lengths["openai"] == lengths["pcm24"]
