"""The bundled model over WebRTC: all spoken samples, through a clean network and a bad one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fakes import undisturbed_logging

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))

import bench_loss

pytestmark = pytest.mark.real_time


async def test_spoken_questions_are_answered_through_loss_and_jitter():
    chosen = ("clean", "loss 10 %, jitter 60 ms")
    weathers = {name: bench_loss.WEATHERS[name] for name in chosen}
    with undisturbed_logging():
        clean, bad = (await bench_loss.measure(weathers, rounds=1, seed=1)).values()
    assert clean.right == clean.asked == len(bench_loss.questions())
    assert clean.lost == 0
    assert bad.lost > 0.05 * bad.packets
    assert bad.right >= bad.asked - 1
