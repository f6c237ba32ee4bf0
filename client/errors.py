"""Everything that can go wrong between a client and its server, by what one can do about it.

* VoiceError
    * ServerUnreachable   nothing answers there: start the server, or correct the address
        * Untrusted       its certificate is nobody's whom we trust: `ca` names whom to trust
    * ServerBusy          no room: come back after `retry_after` seconds
    * Refused             it answers, but will not serve this: the text says why
    * ConnectionLost      it was served until the connection ended with `code` and `reason`
    * BadServerMessage    what the server sent is not this protocol
    * NoAnswer            the server stayed silent for too long

A wrong argument (a rate that does not exist, an address that is none) is a ValueError.
"""

from __future__ import annotations


class VoiceError(Exception):
    """Base of every error of a connection; its text is one sentence fit for a user."""


class ServerUnreachable(VoiceError):
    """No server answers at this address."""


class Untrusted(ServerUnreachable):
    """The server's certificate is signed by nobody whom this machine trusts."""


class ServerBusy(VoiceError):
    """The server has no room now (HTTP 503, close code 1013)."""

    def __init__(self, message: str, *, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which there may be room; None when the server did not say."""


class Refused(VoiceError):
    """The server does not serve what was asked for."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
        """The server's word for the reason, such as `bad_parameter`, or `http_404`."""


class ConnectionLost(VoiceError):
    """The connection ended before both sides were done."""

    def __init__(self, code: int, reason: str, *, explanation: str = "") -> None:
        text = explanation or reason or MEANINGS.get(code, "no reason given")
        super().__init__(f"the connection ended: {text.rstrip('.')} (close code {code})")
        self.code = code
        """RFC 6455 7.4.1; 1006 when the server vanished without a closing handshake."""
        self.reason = reason


class BadServerMessage(VoiceError):
    """The server sent something that is not this protocol."""


class NoAnswer(VoiceError):
    """The server said nothing for longer than the client was willing to wait."""


MEANINGS = {
    1001: "the server is going away",
    1006: "the server vanished",
    1008: "the server's policy",
    1009: "a message was too large",
    1011: "an error inside the server",
    1013: "the server has no room",
}
