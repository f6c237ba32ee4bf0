"""Addresses are completed, and none is taken for what it is not."""

from __future__ import annotations

import pytest

from client.opening import address, place


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765/v1/pcm?rate=16000"),
        ("ws://127.0.0.1:8765/", "ws://127.0.0.1:8765/v1/pcm?rate=16000"),
        ("http://localhost", "ws://localhost/v1/pcm?rate=16000"),
        ("https://voice.example", "wss://voice.example/v1/pcm?rate=16000"),
        ("wss://[::1]:9/behind/a/proxy", "wss://[::1]:9/behind/a/proxy?rate=16000"),
        ("ws://h/v1/pcm?rate=8000&key=a%20b", "ws://h/v1/pcm?rate=16000&key=a+b"),
        (" ws://h:1#part ", "ws://h:1/v1/pcm?rate=16000"),
    ],
)
def test_an_address_is_completed(given, full):
    assert address(given, {"rate": "16000"}) == full


def test_a_place_holds_no_secret():
    assert place("wss://user:word@host:1/v1/pcm?conversation=secret") == "wss://host:1"
