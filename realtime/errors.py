"""Everything that goes wrong here, by whose fault it is.

* RealtimeError
    * BadMessage         one message of the peer cannot be understood (error; the session goes on)
    * ProtocolError      the peer broke the protocol                  (close 1002)
        * WrongType          text where audio is due, or the reverse  (close 1003)
        * TooMuch            the peer exceeded a limit                (close 1009)
    * TooMany            the peer sends too many messages             (close 1008)
    * SlowPeer           the peer does not read what it is sent       (close 1008)
    * Refused            this peer may not come in                    (its HTTP status)
    * LimitReached       the peer has had what its key may have       (HTTP 429, close 1008)
    * Busy               no capacity; retry later                     (HTTP 503, close 1013)
    * AudioError         this is not audio that can be used           (the user's file or frames)
    * ConfigError        a setting, path or option cannot be used     (the operator's)
    * EngineError        the engine failed this one response
        * ContextTooLong     the conversation exceeds the model's context
        * WorkerLost         the worker died too often to finish this response
    * ModelError         the checkpoint cannot be loaded              (the operator's)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class RealtimeError(Exception):
    """Base of every error that this package raises on purpose; its text is fit for a peer."""

    code: str = "internal_error"
    close_code: ClassVar[int] = 1011


class BadMessage(RealtimeError):
    """One message cannot be understood; nothing of it was done and the session goes on."""

    code = "bad_message"


class ProtocolError(RealtimeError):
    """The peer sent something that the protocol does not allow."""

    code = "protocol_error"
    close_code = 1002


class WrongType(ProtocolError):
    """The peer sent text where audio is due, or the reverse (RFC 6455 7.4.1: 1003)."""

    code = "wrong_type"
    close_code = 1003


class TooMuch(ProtocolError):
    """The peer exceeded a stated limit."""

    code = "too_much"
    close_code = 1009


class TooMany(RealtimeError):
    """The peer sent more messages than it may."""

    code = "too_many_messages"
    close_code = 1008


class SlowPeer(RealtimeError):
    """The peer does not read as fast as it is written to."""

    code = "slow_peer"
    close_code = 1008


class Refused(RealtimeError):
    """This peer may not come in, or not there; told by an HTTP status, before any upgrade."""

    close_code = 1008

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        """The field or query parameter that is to blame."""
        self.headers = dict(headers or {})
        """Of the HTTP response, beside those that its status wants."""


class LimitReached(RealtimeError):
    """The peer has had what its key may have; `retry_after` seconds from now there is more."""

    code = "rate_limit_exceeded"
    close_code = 1008

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(RealtimeError):
    """There is no room now; `retry_after` seconds from now there may be."""

    code = "busy"
    close_code = 1013

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AudioError(RealtimeError):
    """This is not audio that can be used; the text says why."""

    code = "bad_audio"
    close_code = 1003


class ConfigError(RealtimeError):
    """A setting, a path or an option cannot be used; the text says which and why."""

    code = "bad_config"


class EngineError(RealtimeError):
    """The engine failed one response; the session and the others go on."""

    code = "engine_error"


class ContextTooLong(EngineError):
    """The conversation is longer than the model's context."""

    code = "context_too_long"


class WorkerLost(EngineError):
    """The worker died again and again while it worked on this response."""

    code = "worker_lost"


class ModelError(RealtimeError):
    """The checkpoint cannot be loaded; the text says what was expected and found."""

    code = "bad_model"
