"""Addresses are completed, and none is taken for what it is not."""

from __future__ import annotations

import pytest

from client.opening import address, elsewhere, place


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


@pytest.mark.parametrize("path", ["/v1/realtime", "/v1/realtime/", "/behind/a/proxy/v1/realtime"])
def test_the_path_of_another_protocol_says_which_one_is_spoken(path):
    with pytest.raises(ValueError, match="plain PCM is at /v1/pcm"):
        address(f"ws://127.0.0.1:8765{path}", {})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://h", ""),
        ("ws://h/v1/pcm?rate=8000", ""),
        ("ws://h/proxy/v1/pcm", ""),
        ("ws://h/v1", "; plain PCM is at /v1/pcm"),
    ],
)
def test_another_path_says_where_plain_pcm_is(url, words):
    assert elsewhere(url) == words
