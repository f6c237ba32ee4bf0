"""What connections and conversations may be bounded by."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from realtime.gateway.settings import AdmissionConfig, ConnectionConfig, GatewaySettings

NUMBERS = [
    (kind, field.name)
    for kind in (ConnectionConfig, AdmissionConfig)
    for field in fields(kind)
    if field.type in ("int", "float")
]


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_no_number_that_means_nothing_gets_in(kind, name):
    whole = type(getattr(kind(), name)) is int
    for wrong in (-1,) if whole else (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=name):
            kind(**{name: wrong})


def test_a_limit_of_messages_may_be_none():
    config = ConnectionConfig(messages_per_minute=0, frames_per_minute=0)
    assert (config.messages_per_minute, config.frames_per_minute) == (0, 0)


@pytest.mark.parametrize("name", ["outbox_messages", "outbox_bytes", "idle_s", "lifetime_s"])
def test_what_is_needed_to_talk_cannot_be_nothing(name):
    with pytest.raises(ValueError, match=name):
        ConnectionConfig(**{name: 0})


def test_nothing_need_be_parked_but_somebody_must_find_room():
    assert AdmissionConfig(parked=0, parked_bytes=0, parked_s=0).parked == 0
    with pytest.raises(ValueError, match="sessions must be 1 to 100000, not 0"):
        AdmissionConfig(sessions=0)


def test_every_part_has_a_section_of_its_own():
    assert [field.name for field in fields(GatewaySettings)] == [
        "server",
        "connection",
        "admission",
        "auth",
        "limits",
        "webrtc",
        "endpoint",
        "session",
    ]
