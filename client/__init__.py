"""An async client of the plain PCM protocol, and what a terminal needs on top of it."""

from __future__ import annotations

from client.dialogue import Answer, Dialogue, Exchange, Question
from client.errors import (
    BadServerMessage,
    ConnectionLost,
    NoAnswer,
    Refused,
    ServerBusy,
    ServerUnreachable,
    Untrusted,
    VoiceError,
)
from client.events import (
    Cancelled,
    Error,
    Event,
    Final,
    Partial,
    Pong,
    Ready,
    SpeechStarted,
    SpeechStopped,
)
from client.microphone import Microphone
from client.pcm import Voice, connect, reconnect

__all__ = [
    "Answer",
    "BadServerMessage",
    "Cancelled",
    "ConnectionLost",
    "Dialogue",
    "Error",
    "Event",
    "Exchange",
    "Final",
    "Microphone",
    "NoAnswer",
    "Partial",
    "Pong",
    "Question",
    "Ready",
    "Refused",
    "ServerBusy",
    "ServerUnreachable",
    "SpeechStarted",
    "SpeechStopped",
    "Untrusted",
    "Voice",
    "VoiceError",
    "connect",
    "reconnect",
]
