"""Short-lived keys: what holds, what does not, and that only what was signed does."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import Busy, LimitReached
from realtime.gateway.access import client_secrets
from realtime.gateway.access.client_secrets import IssuedToken, TokenIssuer, looks_issued
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
    issuer = TokenIssuer(SECRET, clock)
    value, expires_at = issuer.issue("a key", SESSION, 600)
    assert value.startswith("ek_")
    assert TOKEN.fullmatch(value)
    assert expires_at == 1_000_600
    assert issuer.check(value) == IssuedToken(issuer.check(value).id, "a key", SESSION)
    clock.now += 599.9
    assert issuer.check(value) is not None
    clock.now += 0.1
    assert issuer.check(value) is None


def test_no_two_keys_are_the_same(clock):
    issuer = TokenIssuer(SECRET, clock)
    values = {issuer.issue("k", {}, 600)[0] for _ in range(10)}
    assert len(values) == len({issuer.check(value).id for value in values}) == 10


def test_servers_with_one_secret_know_each_others_keys_and_others_do_not(clock):
    value, _ = TokenIssuer(SECRET, clock).issue("k", SESSION, 600)
    assert TokenIssuer(SECRET, clock).check(value) is not None
    assert TokenIssuer(SECRET + ".", clock).check(value) is None
    assert TokenIssuer("", clock).check(value) is None
    assert TokenIssuer("", clock).check(TokenIssuer("", clock).issue("k", {}, 600)[0]) is None


def test_a_session_too_long_for_a_header_is_kept_while_its_key_holds(clock):
    issuer = TokenIssuer(SECRET, clock)
    session = {"instructions": "x" * 100_000}
    value, _ = issuer.issue("k", session, 600)
    later, _ = issuer.issue("k", session, 900)
    assert len(value) < 400
    assert issuer.check(value).session == session
    assert len(issuer.kept) == 1
    clock.now += 700
    assert issuer.check(later).session == session
    assert TokenIssuer(SECRET, clock).check(later) is None, "not without the session it is for"
    clock.now += 700
    issuer.issue("k", {"instructions": "y" * 3_000}, 600)
    assert len(issuer.kept) == 1


def test_what_is_kept_is_bounded(clock, monkeypatch):
    monkeypatch.setattr(client_secrets, "KEPT_BYTES", 10_000)
    monkeypatch.setattr(client_secrets, "KEPT_OF_ONE", 10_000)
    issuer = TokenIssuer(SECRET, clock)
    issuer.issue("k", long("x"), 600)
    with pytest.raises(Busy):
        issuer.issue("other", long("y"), 600)
    clock.now += 600
    issuer.issue("k", long("y"), 600)


def test_no_key_fills_the_store_for_the_others(clock, monkeypatch):
    monkeypatch.setattr(client_secrets, "KEPT_BYTES", 40_000)
    monkeypatch.setattr(client_secrets, "KEPT_OF_ONE", 13_000)
    issuer = TokenIssuer(SECRET, clock)
    for letter in "ab":
        issuer.issue("k", long(letter), 600)
        issuer.issue("k", long(letter), 600)
    with pytest.raises(LimitReached) as refused:
        issuer.issue("k", long("c"), 600)
    assert refused.value.retry_after > 0
    value, _ = issuer.issue("other", long("a"), 600)
    assert issuer.check(value).key == "other"
    assert len(issuer.kept) == 3, "what one key keeps is not what another does"
    clock.now += 600
    issuer.issue("k", long("c"), 600)


def test_where_no_key_is_needed_all_of_the_store_is_for_all(clock, monkeypatch):
    monkeypatch.setattr(client_secrets, "KEPT_BYTES", 20_000)
    monkeypatch.setattr(client_secrets, "KEPT_OF_ONE", 5_000)
    issuer = TokenIssuer(SECRET, clock)
    for letter in "abc":
        issuer.issue("", long(letter), 600)
    with pytest.raises(Busy):
        issuer.issue("", long("d"), 600)


def long(letter: str) -> dict[str, str]:
    """Give a session that is too long for a header."""
    return {"instructions": letter * 6_000}


ALPHABET = string.ascii_letters + string.digits + "-_.= \x00é\udc80"
GENUINE, _ = TokenIssuer(SECRET, Clock()).issue("a key", SESSION, 600)


@given(
    at=st.integers(0, len(GENUINE) - 1),
    removed=st.integers(0, 3),
    added=st.text(ALPHABET, max_size=3),
)
def test_a_changed_key_never_holds(at, removed, added):
    changed = GENUINE[:at] + added + GENUINE[at + removed :]
    assert (TokenIssuer(SECRET, Clock()).check(changed) is not None) == (changed == GENUINE)


def test_every_single_changed_letter_is_noticed():
    issuer = TokenIssuer(SECRET, Clock())
    for at in range(len(GENUINE)):
        for letter in ALPHABET:
            changed = GENUINE[:at] + letter + GENUINE[at + 1 :]
            assert changed == GENUINE or issuer.check(changed) is None


@given(st.text(max_size=300) | st.text(ALPHABET, max_size=300).map(lambda text: f"ek_{text}"))
def test_nothing_else_holds(text):
    assert TokenIssuer(SECRET, Clock()).check(text) is None


def test_signatures_are_compared_in_constant_time(monkeypatch):
    compared = []
    genuine = client_secrets.hmac.compare_digest

    def compare(ours: bytes, theirs: bytes) -> bool:
        compared.append((ours, theirs))
        return genuine(ours, theirs)

    issuer = TokenIssuer(SECRET, Clock())
    monkeypatch.setattr(client_secrets.hmac, "compare_digest", compare)
    issuer.check("ek_abc.def")
    ((ours, theirs),) = compared
    assert (len(ours), theirs) == (43, b"def")


@pytest.mark.parametrize(
    ("value", "ours"), [("ek_a.b", True), ("ek_dummy", False), ("sk-a.b", False), ("", False)]
)
def test_what_is_meant_for_one_of_ours(value, ours):
    assert looks_issued(value) is ours
