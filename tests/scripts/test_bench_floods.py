"""The benchmark of floods measures, with and without one that misbehaves, and stops by itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import bench_floods
import pytest


@pytest.mark.script_scale
def test_a_smoke_run_measures_those_who_behave_and_the_server(capsys):
    bench_floods.main(["--smoke"])
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    for kind in ("quiet", "audio", "vanishing"):
        assert found[kind]["pong"] > 0
        before, most, _ = found[kind]["rss"]
        assert 0 < before <= most
        assert 0 < found[kind]["descriptors"][0] <= found[kind]["descriptors"][1]


@pytest.mark.parametrize(("waits", "found"), [([], None), ([0.5], 500.0), ([0.1] * 99 + [9], 100)])
def test_p95(waits, found):
    assert bench_floods.p95(waits) == found
