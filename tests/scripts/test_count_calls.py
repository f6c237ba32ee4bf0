"""The calls that a frame and a delta cross are counted, in their order, and can be read again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_both_ways_are_followed_from_end_to_end():
    command = [sys.executable, "-m", "scripts.count_calls"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(run.stdout)
    frame, delta = found["frame"], found["delta"]
    assert frame["functions"][0] == "transports/websocket.py:PeerProtocol.data_received"
    assert frame["functions"][-1] == "audio/endpoint.py:Endpointer.push"
    assert delta["functions"][0] == "gateway/connection.py:Connection.happen"
    assert delta["functions"][-1] == "transports/websocket.py:PeerProtocol.send"
    for way in (frame, delta):
        assert way["calls"] == len(way["functions"])
        assert way["files"] == len({place.split(":")[0] for place in way["functions"]})
