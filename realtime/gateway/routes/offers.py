"""The bodies in which offers come."""

from __future__ import annotations

import email.parser
import email.policy
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request

from realtime.errors import Refused
from realtime.gateway.http.body import body, too_large
from realtime.transports.webrtc.sdp import BadOffer, Offer

MOST_SDP = 64 << 10  # bytes; a browser's offer with video has 6 KB
MOST_BODY = 256 << 10  # bytes, of a multipart body with a session in it


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request to be called contains."""

    offer: Offer
    session: dict[str, Any] | None = None
    """The settings of the session, as OpenAI's clients send them."""


async def read_offer(request: Request, *, multipart: bool) -> Asked:
    """Read the body of a request; raise Refused with 400, 413 or 415."""
    kind = request.headers.get("content-type", "")
    name = kind.split(";")[0].strip().lower()
    if name == "application/sdp":
        return Asked(parse(await body(request, MOST_SDP)))
    if multipart and name == "multipart/form-data":
        return read_parts(kind, await body(request, MOST_BODY))
    allowed = "application/sdp or multipart/form-data" if multipart else "application/sdp"
    raise Refused(415, "unsupported_media_type", f"Send an offer as {allowed}, not {name[:64]!r}.")


def read_parts(kind: str, data: bytes) -> Asked:
    """Read a form with the parts `sdp` and, if there is one, `session` (RFC 7578)."""
    parts = form(kind, data)
    if "sdp" not in parts:
        raise Refused(400, "missing_sdp", "The form has no part named sdp.")
    if len(parts["sdp"]) > MOST_SDP:
        raise too_large(MOST_SDP)
    session = None
    if "session" in parts:
        try:
            session = msgspec.json.decode(parts["session"], type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"The part named session is no JSON object: {error}."
            raise Refused(400, "invalid_session", message) from None
    return Asked(parse(parts["sdp"]), session)


def form(kind: str, data: bytes) -> dict[str, bytes]:
    """Cut a form into its parts, by name."""
    head = b"Content-Type: " + kind.encode("latin-1", "replace") + b"\r\n\r\n"
    try:
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + data)
        found = {}
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(content, bytes):
                found[name] = content
    except Exception:  # the parser of the standard library knows many ways to fail
        raise Refused(400, "invalid_form", "This form cannot be read.") from None
    return found


def parse(data: bytes) -> Offer:
    """Read an offer from bytes."""
    try:
        return Offer.parse(data.decode())
    except UnicodeDecodeError:
        raise Refused(400, BadOffer.code, "This is no SDP: it is not UTF-8.") from None
    except BadOffer as error:
        raise Refused(400, error.code, str(error)) from None
