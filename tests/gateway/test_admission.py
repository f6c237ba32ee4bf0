"""Who may come in, and how long conversations wait for their peers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.api import Loading
from realtime.engine.fake import FAKE_MODEL
from realtime.errors import Busy
from realtime.gateway.admission import Admission, Slot
from realtime.gateway.settings import AdmissionConfig
from realtime.session.conversation import Conversation


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Holder:
    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def leave(self, code: int, reason: str) -> None:
        self.told.append((code, reason))


def admission(**config) -> tuple[Admission, Clock]:
    clock = Clock()
    return Admission(AdmissionConfig(**config), clock), clock


def say(slot: Slot, seconds: float) -> None:
    """Put audio into a conversation."""
    clip = slot.conversation.clip(np.zeros(int(seconds * 16_000), np.int16))
    slot.conversation.add_user((clip,))


def left(doors: Admission, *, seconds: float = 0.0) -> tuple[Slot, str]:
    """Begin a conversation and leave it, with some audio in it."""
    slot, secret = doors.begin(Conversation)
    holder = Holder()
    doors.occupy(slot, holder)
    if seconds:
        say(slot, seconds)
    doors.park(slot, holder)
    return slot, secret


def test_places_are_given_until_none_is_left_and_given_back():
    doors, _ = admission(sessions=2, retry_after_s=7)
    assert doors.enter(FAKE_MODEL) is FAKE_MODEL
    doors.enter(FAKE_MODEL)
    with pytest.raises(Busy, match="All 2 sessions are taken") as refused:
        doors.enter(FAKE_MODEL)
    assert refused.value.retry_after == 7
    doors.leave()
    doors.enter(FAKE_MODEL)


def test_taking_over_ones_own_connection_is_bounded_too():
    doors, _ = admission(sessions=2)
    slot, secret = doors.begin(Conversation)
    doors.occupy(slot, Holder())
    for _ in range(4):
        doors.enter(FAKE_MODEL, secret)
    with pytest.raises(Busy):
        doors.enter(FAKE_MODEL, secret)


def test_nobody_comes_in_while_the_model_loads_or_the_server_goes_away():
    doors, _ = admission()
    with pytest.raises(Busy, match="weights, 40%"):
        doors.enter(Loading("weights", 0.4))
    doors.draining = True
    with pytest.raises(Busy, match="going away"):
        doors.enter(FAKE_MODEL)
    assert doors.taken == 0


def test_a_secret_finds_its_conversation_and_nothing_else():
    doors, _ = admission()
    slot, secret = left(doors)
    other, _ = left(doors)
    assert doors.find(secret) is slot is not other
    assert doors.find(secret + "x") is None
    assert doors.find("") is None
    assert doors.find("\ud800") is None
    assert len(secret) >= 32


def test_no_secret_is_kept():
    doors, _ = admission()
    slot, secret = left(doors)
    assert secret not in repr(doors.slots) + repr(vars(doors.parked)) + repr(
        vars(slot.conversation)
    )


def test_a_conversation_expires_after_its_time():
    doors, clock = admission(parked_s=10)
    _, secret = left(doors)
    clock.now = 9.9
    assert doors.find(secret)
    clock.now = 10.0
    assert doors.find(secret) is None
    assert not doors.slots


def test_one_that_is_taken_up_does_not_expire():
    doors, clock = admission(parked_s=10)
    slot, secret = left(doors)
    doors.occupy(slot, Holder())
    clock.now = 1_000.0
    assert doors.find(secret) is slot


def test_the_one_left_longest_ago_goes_first():
    doors, _ = admission(parked=2)
    secrets = [left(doors)[1] for _ in range(3)]
    assert [doors.find(secret) is not None for secret in secrets] == [False, True, True]


def test_the_old_connection_is_told_to_leave_and_cannot_park_any_more():
    doors, _ = admission()
    slot, secret = doors.begin(Conversation)
    old, new = Holder(), Holder()
    doors.occupy(slot, old)
    doors.occupy(slot, new)
    assert old.told == [(1008, "taken over")]
    doors.park(slot, old)
    assert slot.holder is new
    assert doors.find(secret) is slot


def test_a_full_house_lets_a_peer_replace_its_own_connection():
    doors, _ = admission(sessions=1)
    doors.enter(FAKE_MODEL)
    slot, secret = doors.begin(Conversation)
    doors.occupy(slot, Holder())
    doors.enter(FAKE_MODEL, secret)
    with pytest.raises(Busy):
        doors.enter(FAKE_MODEL, "another")


@given(st.lists(st.sampled_from(["begin", "leave", "return", "wait"]), max_size=60))
def test_the_books_balance_in_any_order(steps):
    doors, clock = admission(parked=3, parked_s=5, parked_bytes=200_000)
    sitting: list[tuple[Slot, str, Holder]] = []
    away: list[str] = []
    for step in steps:
        if step == "begin":
            slot, secret = doors.begin(Conversation)
            say(slot, 1.0)
            sitting.append((slot, secret, holder := Holder()))
            doors.occupy(slot, holder)
        elif step == "leave" and sitting:
            slot, secret, holder = sitting.pop(0)
            doors.park(slot, holder)
            away.append(secret)
        elif step == "return" and away:
            if (slot := doors.find(secret := away.pop())) is not None:
                sitting.append((slot, secret, holder := Holder()))
                doors.occupy(slot, holder)
        elif step == "wait":
            clock.now += 2
        assert len(doors.parked) <= 3
        assert doors.parked.bytes == 32_000 * len(doors.parked) <= 200_000
        assert len(doors.slots) == len(sitting) + len(doors.parked)
    assert all(doors.find(secret) is slot for slot, secret, _ in sitting)
