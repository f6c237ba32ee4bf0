"""Bodies are read no further, and waited for no longer, than they may be."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from realtime.errors import Refused
from realtime.gateway.http import body as bodies


def request(*messages: dict | None) -> Request:
    """Make a request whose body comes in messages; None never comes."""
    waiting = list(messages)

    async def receive() -> dict:
        message = waiting.pop(0)
        if message is None:
            await asyncio.Event().wait()
        return message

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def piece(data: bytes, *, more: bool = False) -> dict:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_a_body_is_put_together():
    assert await bodies.body(request(piece(b"ab", more=True), piece(b"c")), 3) == b"abc"


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ((piece(b"abcd"),), 413),
        ((piece(b"a", more=True), {"type": "http.disconnect"}), 400),
        ((piece(b"a", more=True), None), 408),
    ],
)
async def test_what_is_too_long_cut_off_or_too_slow_is_refused(messages, status, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_S", 0.01)
    with pytest.raises(Refused) as refused:
        await bodies.body(request(*messages), 3)
    assert refused.value.status == status
