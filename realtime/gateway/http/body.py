"""Bodies of requests, bounded in size and in time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from realtime.errors import Refused

BODY_S = 10.0
"""Seconds that a body may take."""
CLOSE = {"Connection": "close"}  # what is left of the body is not read


async def body(request: Request, most: int) -> bytes:
    """Read a body of at most so many bytes, without reading more; raise Refused."""
    said = request.headers.get("content-length", "")
    data = bytearray()
    try:
        if said.isdecimal() and int(said) > most:
            raise too_large(most)
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                data += piece
                if len(data) > most:
                    raise too_large(most)
    except ClientDisconnect:
        raise Refused(400, "incomplete", "The request ended before its body did.") from None
    except TimeoutError:
        message = f"The body did not come within {BODY_S:g} s."
        raise Refused(408, "too_slow", message, headers=CLOSE) from None
    return bytes(data)


def too_large(most: int) -> Refused:
    """Refuse a body for its size."""
    message = f"The body may have {most} bytes here."
    return Refused(413, "request_too_large", message, headers=CLOSE)
