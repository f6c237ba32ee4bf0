"""Bodies are read no further than they may be long, and whatever is wrong with them is said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from realtime.errors import Refused
from realtime.gateway.http.error_responses import error_response
from realtime.gateway.routes.offers import MOST_BODY, MOST_SDP, form, read_offer

SDP = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AA\r\n"
)
FORM = 'multipart/form-data; boundary="xyz"'


def request(kind: str, *pieces: bytes, length: int | None = None) -> Request:
    """Make a request whose body comes in pieces; reading beyond them fails."""
    headers = [(b"content-type", kind.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    waiting = list(pieces)

    async def receive() -> dict:
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def parts(*named: tuple[str, str]) -> bytes:
    """Write a form."""
    lines = []
    for name, content in named:
        lines += ["--xyz", f'Content-Disposition: form-data; name="{name}"', "", content]
    return "\r\n".join([*lines, "--xyz--", ""]).encode()


async def refusal(asked: Request, *, multipart: bool = True) -> Refused:
    with pytest.raises(Refused) as caught:
        await read_offer(asked, multipart=multipart)
    return caught.value


@pytest.mark.parametrize("kind", ["application/sdp", "Application/SDP; charset=utf-8"])
async def test_a_plain_offer_is_read(kind):
    asked = await read_offer(request(kind, SDP[:10].encode(), SDP[10:].encode()), multipart=True)
    assert asked.offer.text() == SDP
    assert asked.session is None


async def test_a_form_has_an_offer_and_perhaps_a_session():
    asked = await read_offer(request(FORM, parts(("sdp", SDP))), multipart=True)
    assert (asked.offer.text(), asked.session) == (SDP, None)
    session = {"type": "realtime", "instructions": "Sei höflich."}
    both = parts(("sdp", SDP), ("session", json.dumps(session, ensure_ascii=False)))
    asked = await read_offer(request(FORM, both), multipart=True)
    assert (asked.offer.text(), asked.session) == (SDP, session)


@pytest.mark.parametrize(
    ("kind", "data", "status", "code"),
    [
        ("application/json", SDP.encode(), 415, "unsupported_media_type"),
        ("", SDP.encode(), 415, "unsupported_media_type"),
        ("application/sdp", b"", 400, "invalid_offer"),
        ("application/sdp", b"\xff\xfe", 400, "invalid_offer"),
        ("application/sdp", b"hello", 400, "invalid_offer"),
        (FORM, b"", 400, "missing_sdp"),
        (FORM, b"no form", 400, "missing_sdp"),
        ("multipart/form-data", parts(("sdp", SDP)), 400, "missing_sdp"),
        (FORM, parts(("session", "{}")), 400, "missing_sdp"),
        (FORM, parts(("sdp", "hello")), 400, "invalid_offer"),
        (FORM, parts(("sdp", SDP), ("session", "[]")), 400, "invalid_session"),
        (FORM, parts(("sdp", SDP), ("session", "{")), 400, "invalid_session"),
        (FORM, parts(("sdp", SDP), ("session", "[" * 100_000)), 400, "invalid_session"),
        (FORM, parts(("sdp", "v=0\r\n" + "a=x\r\n" * MOST_SDP)), 413, "request_too_large"),
    ],
)
async def test_whatever_is_wrong_is_said(kind, data, status, code):
    error = await refusal(request(kind, data))
    assert (error.status, error.code) == (status, code)


async def test_whip_takes_no_forms():
    assert (await refusal(request(FORM, parts(("sdp", SDP))), multipart=False)).status == 415


async def test_a_body_that_says_it_is_huge_is_not_read():
    error = await refusal(request("application/sdp", length=MOST_SDP + 1))  # has nothing to read
    assert (error.status, error.headers) == (413, {"Connection": "close"})


async def test_a_body_is_read_no_further_than_it_may_be_long():
    asked = request(FORM, bytes(MOST_BODY), b"x")
    assert (await refusal(asked)).status == 413
    with pytest.raises(IndexError):  # a third piece was never asked for
        await asked._receive()


async def test_a_peer_that_leaves_in_between_is_nobody_to_answer():
    async def receive() -> dict:
        return {"type": "http.disconnect"}

    headers = [(b"content-type", b"application/sdp")]
    asked = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    assert (await refusal(asked)).status == 400


def test_an_error_has_the_shape_that_clients_of_openai_read():
    response = error_response(
        Refused(413, "request_too_large", "Shorter.", headers={"Connection": "close"})
    )
    assert json.loads(response.body) == {
        "error": {
            "message": "Shorter.",
            "type": "invalid_request_error",
            "code": "request_too_large",
            "param": None,
        }
    }
    assert response.headers["connection"] == "close"


@given(st.text(max_size=60), st.binary(max_size=300))
def test_any_form_has_parts_or_is_refused(kind, data):
    try:
        found = form("multipart/form-data; boundary=" + kind, data)
    except Refused as refused:
        assert refused.status == 400  # noqa: PT017
    else:
        assert all(isinstance(content, bytes) for content in found.values())
