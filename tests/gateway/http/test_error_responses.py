"""A refusal has the status, the body and the headers that clients know what to do with."""

from __future__ import annotations

import json

import pytest

from realtime.errors import Busy, LimitReached, Refused
from realtime.gateway.http.error_responses import error_response, refuse, upgrade_required


def said(response) -> dict:
    return json.loads(response.body)


def test_whoever_finds_no_room_is_told_when_to_come_back_in_two_forms():
    response = error_response(Busy("All taken.", retry_after=4.2), stage="weights")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert said(response) == {
        "status": "busy",
        "message": "All taken.",
        "error": {
            "message": "All taken.",
            "type": "server_error",
            "code": "server_busy",
            "param": None,
        },
        "stage": "weights",
    }


def test_a_limit_is_429():
    response = error_response(LimitReached("Wait.", retry_after=0.1))
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert said(response)["error"]["type"] == "rate_limit_error"
    assert said(response)["error"]["code"] == "rate_limit_exceeded"


def test_a_refusal_names_what_is_to_blame_and_keeps_its_headers():
    error = Refused(405, "not_so", "No.", param="x", headers={"Allow": "POST"})
    response = error_response(error)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert said(response)["error"] == {
        "message": "No.",
        "type": "invalid_request_error",
        "code": "not_so",
        "param": "x",
    }
    assert "www-authenticate" not in response.headers


def test_whoever_is_not_known_learns_how_to_show_it():
    response = error_response(Refused(401, "missing_api_key", "Who?"))
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_request_and_a_socket_are_refused_by_the_same_words(kind):
    sent = []

    async def send(message) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "websocket.connect"}

    scope = {"type": kind, "headers": [], "extensions": {"websocket.http.response": {}}}
    await refuse(Refused(404, "unknown_url", "Nothing here."), scope, receive, send)
    begun, body = sent[-2:]
    assert begun["status"] == 404
    assert json.loads(body["body"])["error"]["code"] == "unknown_url"


async def test_a_plain_client_is_told_to_upgrade():
    response = await upgrade_required(None)
    assert (response.status_code, response.headers["upgrade"]) == (426, "websocket")
    assert b"WebSocket" in response.body
