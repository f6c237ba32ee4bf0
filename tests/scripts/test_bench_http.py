"""The benchmark of peers without a key attacks, and a holder of the key is let in meanwhile."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import bench_http


@pytest.mark.script_scale
def test_every_attack_is_measured(capsys):
    bench_http.main(connections=2, requests=2_000, lingering=5, files=256, seconds=0.5)
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    lingering = {f"lingering_{how}" for how in ("crlf", "body", "mute")}
    assert set(found) == {"script", "seconds", "unread", "slices", *lingering}
    for attack in lingering | {"unread", "slices"}:
        seen = found[attack]
        assert seen["key_holder_let_in"] > 0
        assert seen["rss_mb"] > 10
        assert seen["descriptors"] > 5
        assert seen["handshake_ms_most"] >= seen["handshake_ms_p50"] > 0
