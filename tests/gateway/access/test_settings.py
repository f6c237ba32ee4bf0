"""What can be said of who may come in."""

from __future__ import annotations

from dataclasses import fields

import pytest

from realtime.gateway.access.settings import AuthConfig, LimitsConfig


def test_secrets_are_in_no_repr():
    auth = AuthConfig(keys=("hush-hush",), secret="hush-hush" * 4)
    assert "hush-hush" not in repr(auth)


@pytest.mark.parametrize("origin", ["*", "null", "https://a.example", "http://[::1]:8765"])
def test_an_origin_that_browsers_send(origin):
    assert AuthConfig(origins=(origin,)).origins == (origin,)


@pytest.mark.parametrize("origin", ["a.example", "https://a.example/", "https://A.example", ""])
def test_an_origin_that_no_browser_sends(origin):
    with pytest.raises(ValueError, match=r"origins must be like https://example\.org"):
        AuthConfig(origins=(origin,))


def test_a_secret_that_can_be_guessed_is_refused_without_telling_it():
    with pytest.raises(ValueError, match="at least 32 characters") as error:
        AuthConfig(secret="hush-hush")
    assert "hush-hush" not in str(error.value)
    assert AuthConfig(secret="x" * 32).secret


@pytest.mark.parametrize("name", [f.name for f in fields(LimitsConfig)])
def test_a_limit_is_0_or_more(name):
    assert getattr(LimitsConfig(**{name: 0}), name) == 0
    for wrong in (-1, 1_000_000_001):
        with pytest.raises(ValueError, match=f"{name} must be 0 to 1000000000"):
            LimitsConfig(**{name: wrong})
