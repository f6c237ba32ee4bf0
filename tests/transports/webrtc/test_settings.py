"""What calls over WebRTC can be set to."""

from __future__ import annotations

import pytest

from realtime.transports.webrtc.settings import WebRtcConfig


def test_no_ice_server_is_asked_unless_told():
    assert WebRtcConfig().ice_urls == ()


def test_ice_servers_stand_between_spaces_and_the_password_in_no_repr():
    both = "stun:a.example:3478 turns:b.example?transport=tcp"
    config = WebRtcConfig(ice_servers=both, ice_credential="hush-hush")
    assert config.ice_urls == ("stun:a.example:3478", "turns:b.example?transport=tcp")
    assert "hush-hush" not in repr(config)


@pytest.mark.parametrize(("opening", "one"), [(1, 1), (2, 1), (5, 2), (32, 16)])
def test_one_key_may_have_half_of_the_calls_that_open_and_at_least_one(opening, one):
    assert WebRtcConfig(opening=opening).opening_of_one == one


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"peers": 0}, "peers must be 1 to 10000"),
        ({"opening": 10_001}, "opening must be 1 to 10000"),
        ({"connect_s": 0.0}, "connect_s must be above 0"),
        ({"connect_s": 301.0}, "connect_s must be above 0, at most 300"),
        ({"ice_servers": "stun:a.example?transport=udp"}, "must be stun: and turn: addresses"),
        ({"public_address": "a.example"}, "does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        WebRtcConfig(**wrong)
