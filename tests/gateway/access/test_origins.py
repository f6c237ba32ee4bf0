"""Which pages may talk to us, and what browsers are told of it."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from realtime.errors import Refused
from realtime.gateway.access.origins import CrossOrigin, Origins, is_this_machine

APP = "https://app.example"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "anything", True),
        ("http://voice.example", "voice.example", True),
        ("https://voice.example", "voice.example", True),
        ("http://voice.example:80", "voice.example", True),
        ("https://voice.example", "voice.example:443", True),
        ("http://voice.example:8765", "Voice.Example:8765", True),
        ("http://voice.example:8765", "voice.example", False),
        ("http://voice.example:8765", "voice.example:9000", False),
        ("http://voice.example.evil.example", "voice.example", False),
        ("https://evil.example", "voice.example", False),
        ("null", "voice.example", False),
        ("", "", False),
        ("file://voice.example", "voice.example", False),
        (APP, "voice.example", True),
        (APP + ":444", "voice.example", False),
        ("http://app.example", "voice.example", False),
        ("http://voice.example", "voice.example:443", False),
        ("https://voice.example", "voice.example:80", False),
    ],
)
def test_where_keys_are_needed(origin, host, allowed):
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    assert Origins([APP], keyless=False).allows(headers) is allowed


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://localhost:8765", "localhost:8765", True),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True),
        ("http://[::1]:8765", "[::1]:8765", True),
        ("http://voice.localhost", "voice.localhost", True),
        # A name of somebody else's that leads to this machine, since a moment ago.
        ("http://evil.example:8765", "evil.example:8765", False),
        ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        # Another server's page on this machine.
        ("http://localhost:3000", "localhost:8765", False),
        ("http://localhost:3000", "127.0.0.1:8765", False),
        ("http://localhost:8765", "127.0.0.1:8765", False),
        ("http://localhost", "localhost:8765", False),
        ("https://localhost", "localhost", False),
        ("https://localhost:8765", "localhost:8765", False),
        (APP, "localhost:8765", True),
        (None, "evil.example:8765", True),
    ],
)
def test_where_none_is_needed_the_page_must_come_from_this_machine(origin, host, allowed):
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    assert Origins([APP], keyless=True).allows(headers) is allowed


@pytest.mark.parametrize("keyless", [True, False])
@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://localhost", "localhost", True),
        ("https://localhost:8443", "localhost:8443", True),
        ("http://localhost", "localhost", False),
        ("http://localhost:443", "localhost", False),
        ("http://localhost:8443", "localhost:8443", False),
    ],
)
def test_with_tls_a_page_without_it_is_not_ours(keyless, origin, host, allowed):
    origins = Origins([], keyless=keyless, tls=True)
    assert origins.allows({"host": host, "origin": origin}) is allowed


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:1", True),
        ("LocalHost", True),
        ("127.0.0.1:8765", True),
        ("[::1]:8765", True),
        ("voice.localhost", True),
        ("my-machine:8765", True),
        ("app.example", True),
        ("", True),
        ("evil.example", False),
        ("evil.example:8765", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0:8765", False),
        ("[::1]evil.example", False),
    ],
)
def test_by_which_names_we_may_be_called_while_no_key_is_needed(host, known):
    headers = {"host": host} if host else {}
    assert Origins([APP], keyless=True, name="My-Machine").knows(headers) is known
    assert Origins([APP], keyless=False).knows(headers)
    assert Origins(["*"], keyless=True).knows(headers), "who lets all pages in has lost nothing"


def test_all_pages_and_pages_without_an_origin_can_be_allowed():
    assert Origins(["*"], keyless=True).allows({"host": "a", "origin": "https://b.example"})
    assert Origins(["null"], keyless=True).allows({"host": "a", "origin": "null"})


def test_the_refusal_says_who_can_change_it():
    with pytest.raises(Refused, match=r"https://evil\.example.*auth\.origins") as caught:
        Origins([], keyless=False).check({"host": "a", "origin": "https://evil.example"})
    assert caught.value.status == 403


@pytest.mark.parametrize("host", ["localhost", "127.8.9.1:80", "[::1]", "a.localhost:1"])
def test_names_of_this_machine(host):
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["", "10.0.0.1", "[fe80::1]:80", "localhost.example", "[::1"])
def test_other_names(host):
    assert not is_this_machine(host)


# ---- what browsers are told ---------------------------------------------------------------------


async def there(_):
    return PlainTextResponse("there", headers={"Location": "/x", "Vary": "Accept"})


@pytest.fixture
def client():
    app = Starlette(routes=[Route("/there", there, methods=["POST"])])
    app.add_middleware(CrossOrigin, origins=Origins([APP], keyless=False))
    return TestClient(app)


def test_a_browser_asks_beforehand(client):
    asked = {
        "Origin": APP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-openai-agents-sdk",
    }
    answer = client.options("/there", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == APP
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == "authorization,content-type,x-openai-agents-sdk"


def test_what_may_be_sent_is_told_also_unasked(client):
    asked = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    allowed = client.options("/there", headers=asked).headers["access-control-allow-headers"]
    for name in ("authorization", "content-type", "x-openai-agents-sdk", "openai-beta"):
        assert name in allowed


def test_a_page_of_another_origin_is_told_no(client):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/there", headers=asked)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "origin_not_allowed"
    assert "access-control-allow-origin" not in answer.headers
    posted = client.post("/there", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in posted.headers


def test_an_allowed_page_may_read_the_answer_and_where_it_leads(client):
    answer = client.post("/there", headers={"Origin": APP})
    assert answer.text == "there"
    assert answer.headers["access-control-allow-origin"] == APP
    assert "Location" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Accept, Origin"


def test_programs_are_told_nothing_of_it(client):
    assert "access-control-allow-origin" not in client.post("/there").headers
    assert client.options("/there").status_code == 405
