"""Short-lived keys: what holds, what does not, and that only what was signed does."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import Busy, LimitReached
from realtime.gateway.access import client_secrets as ephemeral
from realtime.gateway.access.client_secrets import Mint, Minted, looks_minted
from realtime.gateway.access.keys import TOKEN

SECRET = "a secret of at least 32 characters"
SESSION = {"type": "realtime", "instructions": "Be brief: «да»."}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_key_holds_until_its_time_is_over(clock):
    mint = Mint(SECRET, clock)
    value, expires_at = mint.make("a key", SESSION, 600)
    assert value.startswith("ek_")
    assert TOKEN.fullmatch(value)
    assert expires_at == 1_000_600
    assert mint.check(value) == Minted(mint.check(value).id, "a key", SESSION)
    clock.now += 599.9
    assert mint.check(value) is not None
    clock.now += 0.1
    assert mint.check(value) is None


def test_no_two_keys_are_the_same(clock):
    mint = Mint(SECRET, clock)
    values = {mint.make("k", {}, 600)[0] for _ in range(10)}
    assert len(values) == len({mint.check(value).id for value in values}) == 10


def test_servers_with_one_secret_know_each_others_keys_and_others_do_not(clock):
    value, _ = Mint(SECRET, clock).make("k", SESSION, 600)
    assert Mint(SECRET, clock).check(value) is not None
    assert Mint(SECRET + ".", clock).check(value) is None
    assert Mint("", clock).check(value) is None
    assert Mint("", clock).check(Mint("", clock).make("k", {}, 600)[0]) is None


def test_a_session_too_long_for_a_header_is_kept_while_its_key_holds(clock):
    mint = Mint(SECRET, clock)
    session = {"instructions": "x" * 100_000}
    value, _ = mint.make("k", session, 600)
    later, _ = mint.make("k", session, 900)
    assert len(value) < 400
    assert mint.check(value).session == session
    assert len(mint.kept) == 1
    clock.now += 700
    assert mint.check(later).session == session
    assert Mint(SECRET, clock).check(later) is None, "not without the session it is for"
    clock.now += 700
    mint.make("k", {"instructions": "y" * 3_000}, 600)
    assert len(mint.kept) == 1


def test_what_is_kept_is_bounded(clock, monkeypatch):
    monkeypatch.setattr(ephemeral, "KEPT_BYTES", 10_000)
    monkeypatch.setattr(ephemeral, "KEPT_OF_ONE", 10_000)
    mint = Mint(SECRET, clock)
    mint.make("k", long("x"), 600)
    with pytest.raises(Busy):
        mint.make("other", long("y"), 600)
    clock.now += 600
    mint.make("k", long("y"), 600)


def test_no_key_fills_the_store_for_the_others(clock, monkeypatch):
    monkeypatch.setattr(ephemeral, "KEPT_BYTES", 40_000)
    monkeypatch.setattr(ephemeral, "KEPT_OF_ONE", 13_000)
    mint = Mint(SECRET, clock)
    for letter in "ab":
        mint.make("k", long(letter), 600)
        mint.make("k", long(letter), 600)
    with pytest.raises(LimitReached) as refused:
        mint.make("k", long("c"), 600)
    assert refused.value.retry_after > 0
    value, _ = mint.make("other", long("a"), 600)
    assert mint.check(value).key == "other"
    assert len(mint.kept) == 3, "what one key keeps is not what another does"
    clock.now += 600
    mint.make("k", long("c"), 600)


def test_where_no_key_is_needed_all_of_the_store_is_for_all(clock, monkeypatch):
    monkeypatch.setattr(ephemeral, "KEPT_BYTES", 20_000)
    monkeypatch.setattr(ephemeral, "KEPT_OF_ONE", 5_000)
    mint = Mint(SECRET, clock)
    for letter in "abc":
        mint.make("", long(letter), 600)
    with pytest.raises(Busy):
        mint.make("", long("d"), 600)


def long(letter: str) -> dict[str, str]:
    """Give a session that is too long for a header."""
    return {"instructions": letter * 6_000}


ALPHABET = string.ascii_letters + string.digits + "-_.= \x00é\udc80"
GENUINE, _ = Mint(SECRET, Clock()).make("a key", SESSION, 600)


@given(
    at=st.integers(0, len(GENUINE) - 1),
    removed=st.integers(0, 3),
    added=st.text(ALPHABET, max_size=3),
)
def test_a_changed_key_never_holds(at, removed, added):
    changed = GENUINE[:at] + added + GENUINE[at + removed :]
    assert (Mint(SECRET, Clock()).check(changed) is not None) == (changed == GENUINE)


def test_every_single_changed_letter_is_noticed():
    mint = Mint(SECRET, Clock())
    for at in range(len(GENUINE)):
        for letter in ALPHABET:
            changed = GENUINE[:at] + letter + GENUINE[at + 1 :]
            assert changed == GENUINE or mint.check(changed) is None


@given(st.text(max_size=300) | st.text(ALPHABET, max_size=300).map(lambda text: f"ek_{text}"))
def test_nothing_else_holds(text):
    assert Mint(SECRET, Clock()).check(text) is None


def test_signatures_are_compared_in_constant_time(monkeypatch):
    compared = []
    genuine = ephemeral.hmac.compare_digest

    def compare(ours: bytes, theirs: bytes) -> bool:
        compared.append((ours, theirs))
        return genuine(ours, theirs)

    mint = Mint(SECRET, Clock())
    monkeypatch.setattr(ephemeral.hmac, "compare_digest", compare)
    mint.check("ek_abc.def")
    ((ours, theirs),) = compared
    assert (len(ours), theirs) == (43, b"def")


@pytest.mark.parametrize(
    ("value", "ours"), [("ek_a.b", True), ("ek_dummy", False), ("sk-a.b", False), ("", False)]
)
def test_what_is_meant_for_one_of_ours(value, ours):
    assert looks_minted(value) is ours
