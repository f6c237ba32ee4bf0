"""Who is let in: keys, where they stand in a request, and the pages that may send them."""

from __future__ import annotations

import pytest
from gateway_place import serving
from hypothesis import given
from hypothesis import strategies as st

import client
from realtime.config import Settings
from realtime.errors import ConfigError, LimitReached, Refused
from realtime.gateway.access.auth import Authenticator, Grant, answer_to, credential
from realtime.gateway.access.keys import digest_of
from realtime.gateway.access.settings import AuthConfig, LimitsConfig
from realtime.gateway.http.error_responses import error_response

KEY, OTHER = "the-first-key-of-this-server", "another-key-of-this-server"
HERE = {"host": "127.0.0.1:8765"}
IN_SUBPROTOCOL = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-agents-sdk.0.20.0"]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def gate(*keys: str, clock: Clock | None = None, **auth) -> Authenticator:
    clock = clock or Clock()
    settings = AuthConfig(keys=keys, **auth), LimitsConfig()
    return Authenticator(*settings, host="127.0.0.1", tls=False, clock=clock, wall=clock)


def refused(
    gate: Authenticator, headers: dict[str, str], subprotocols: tuple[str, ...] = ()
) -> tuple:
    with pytest.raises(Refused) as caught:
        gate.authorise({**HERE, **headers}, subprotocols)
    assert KEY not in str(caught.value)
    return caught.value.status, caught.value.code


# ---- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "subprotocols"),
    [
        ({"authorization": f"Bearer {KEY}"}, []),
        ({"authorization": f"bearer   {KEY} "}, []),
        ({}, IN_SUBPROTOCOL),
        ({"api-key": KEY}, []),
        ({"authorization": "Basic abc"}, IN_SUBPROTOCOL),
        ({"authorization": "Bearer "}, IN_SUBPROTOCOL),
        ({"authorization": f"Bearer {KEY}", "api-key": "wrong"}, ["openai-insecure-api-key.wrong"]),
        ({"api-key": "wrong"}, IN_SUBPROTOCOL),
    ],
)
def test_a_key_is_found_in_its_places_in_order(headers, subprotocols):
    grant = gate(KEY, OTHER).authorise({**HERE, **headers}, subprotocols)
    assert grant.key == digest_of(KEY).hex()[:16]
    assert not grant.short_lived


def test_sessions_of_one_key_share_and_others_do_not():
    ours = gate(KEY, OTHER)
    first, second, other = (
        ours.authorise({"authorization": f"Bearer {key}"}) for key in (KEY, KEY, OTHER)
    )
    assert first.allowance is second.allowance
    assert first.allowance is not other.allowance


def test_who_has_no_key_or_a_wrong_one_stays_outside():
    ours = gate(KEY)
    assert refused(ours, {}) == (401, "missing_api_key")
    assert refused(ours, {}, ("realtime",)) == (401, "missing_api_key")
    assert refused(ours, {"authorization": KEY}) == (401, "missing_api_key")
    assert refused(ours, {"authorization": f"Bearer {KEY}x"}) == (401, "invalid_api_key")
    # The first that is there counts: a wrong one is not made good by another.
    assert refused(ours, {"authorization": "Bearer x", "api-key": KEY})[0] == 401


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3))
def test_whatever_is_sent_is_a_key_or_refused(header, subprotocols):
    with pytest.raises(Refused):
        gate(KEY).authorise({"authorization": header, "api-key": header}, subprotocols)


def test_where_no_key_is_needed_any_is_welcome():
    ours = gate()
    for headers in ({}, {"authorization": "Bearer sk-any"}, {"authorization": "Bearer ek_dummy"}):
        grant = ours.authorise({**HERE, **headers})
        assert (grant.key, grant.session) == ("", None)


# ---- short-lived keys ---------------------------------------------------------------------------


def test_a_short_lived_key_brings_its_session_and_counts_for_its_key():
    ours = gate(KEY)
    whole = ours.authorise({"authorization": f"Bearer {KEY}"})
    value, _ = ours.issuer.issue(whole.key, {"instructions": "Be brief."}, 600)
    grant = ours.authorise(HERE, ["realtime", f"openai-insecure-api-key.{value}"])
    assert grant.session == {"instructions": "Be brief."}
    assert grant.allowance is whole.allowance
    assert grant.short_lived


def test_it_ends_with_its_time_and_with_its_key(tmp_path):
    clock = Clock()
    file = tmp_path / "keys"
    file.write_text(f"sha256:{digest_of(KEY).hex()}\nsha256:{digest_of(OTHER).hex()}\n")
    ours = gate(clock=clock, key_file=str(file))
    id = ours.authorise({"authorization": f"Bearer {KEY}"}).key
    first, _ = ours.issuer.issue(id, {}, 10)
    second, _ = ours.issuer.issue(id, {}, 600)
    clock.now += 10
    assert refused(ours, {"authorization": f"Bearer {first}"}) == (401, "invalid_api_key")
    assert ours.authorise({"authorization": f"Bearer {second}"}).short_lived
    file.write_text(f"sha256:{digest_of(OTHER).hex()}\n")
    assert refused(ours, {"authorization": f"Bearer {second}"}) == (401, "invalid_api_key")


def test_one_that_was_minted_without_a_key_opens_no_server_that_needs_one():
    secret = "shared by servers, 32 letters long"
    value, _ = gate(secret=secret).issuer.issue("", {}, 600)
    assert refused(gate(KEY, secret=secret), {"authorization": f"Bearer {value}"})[0] == 401


def test_one_of_ours_that_has_ended_is_refused_also_where_none_is_needed():
    clock = Clock()
    ours = gate(clock=clock)
    value, _ = ours.issuer.issue("", {"instructions": "Be brief."}, 10)
    assert ours.authorise({**HERE, "authorization": f"Bearer {value}"}).short_lived
    clock.now += 10
    assert refused(ours, {"authorization": f"Bearer {value}"}) == (401, "invalid_api_key")


def test_a_key_has_what_it_minted_and_a_short_lived_one_has_its_own_alone():
    ours = gate(KEY, OTHER)

    def granted(key: str) -> Grant:
        return ours.authorise({"authorization": f"Bearer {key}"})

    whole, other = granted(KEY), granted(OTHER)
    first, second = (granted(ours.issuer.issue(whole.key, {}, 600)[0]) for _ in range(2))
    assert [whole.owns(grant) for grant in (whole, first, second, other)] == [True] * 3 + [False]
    assert [first.owns(grant) for grant in (whole, first, second, other)] == [
        False,
        True,
        False,
        False,
    ]


# ---- settings that change -----------------------------------------------------------------------


def test_other_settings_are_taken_up_whole_or_not_at_all():
    ours = gate(KEY)
    id = ours.authorise({"authorization": f"Bearer {KEY}"}).key
    value, _ = ours.issuer.issue(id, {}, 600)
    origin = "https://app.example"
    asked = AuthConfig(keys=(KEY, OTHER), origins=(origin,))
    ours.reload(asked, LimitsConfig(sessions=1))
    assert ours.authorise({"authorization": f"Bearer {OTHER}", "origin": origin}).key
    grant = ours.authorise({"authorization": f"Bearer {value}"})
    grant.allowance.enter()
    with pytest.raises(LimitReached):
        grant.allowance.enter()
    for wrong in (AuthConfig(), AuthConfig(keys=("short",)), AuthConfig(key_file="none")):
        with pytest.raises(ConfigError):
            ours.reload(wrong, LimitsConfig())
    assert ours.authorise({"authorization": f"Bearer {KEY}"}).key == id
    ours.reload(AuthConfig(keys=(OTHER,)), LimitsConfig())
    assert ours.gone([id, digest_of(OTHER).hex()[:16]]) == {id}
    assert refused(ours, {"authorization": f"Bearer {value}"}) == (401, "invalid_api_key")
    assert refused(ours, {"authorization": f"Bearer {KEY}"}) == (401, "invalid_api_key")


def test_where_no_key_is_needed_none_is_gone():
    assert gate().gone([""]) == set()


# ---- the rest -----------------------------------------------------------------------------------


def test_pages_of_other_origins_are_refused_whatever_key_they_have():
    headers = {"authorization": f"Bearer {KEY}", "origin": "https://evil.example"}
    assert refused(gate(KEY), headers) == (403, "origin_not_allowed")
    assert gate(KEY, origins=("https://evil.example",)).authorise({**HERE, **headers})


def test_the_subprotocol_that_holds_a_key_is_never_the_answer():
    assert answer_to(IN_SUBPROTOCOL) == "realtime"
    assert answer_to(IN_SUBPROTOCOL[1:]) is None
    assert answer_to([]) is None


def test_no_credential():
    assert credential({}, []) is None
    assert credential({"authorization": "Bearer"}, ["openai-insecure-api-key."]) is None


def test_a_401_names_the_way_in():
    response = error_response(Refused(401, "missing_api_key", "You sent no API key."))
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert b'"type":"invalid_request_error"' in response.body


async def test_the_client_of_this_project_brings_a_key():
    async with serving(Settings(auth=AuthConfig(keys=(KEY,)))) as place:
        url = f"ws://127.0.0.1:{place.port}"
        async with client.connect(url, key=KEY) as voice:
            assert voice.ready.model == "fake"
        with pytest.raises(client.Refused, match=r"HTTP 401, You sent no API key"):
            async with client.connect(url):
                pass


@pytest.mark.parametrize(("wait", "told"), [(0.01, "1"), (5.0, "5"), (29.4, "30")])
def test_nobody_is_told_to_come_back_too_early(wait, told):
    assert error_response(LimitReached("Wait.", retry_after=wait)).headers["retry-after"] == told
