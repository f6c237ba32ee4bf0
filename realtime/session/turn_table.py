"""Whose turn it is: the states of a session and every move between them, as data.

Two things are true at any time: what the user does, and how far the response has come. Their joint
states are the keys of TABLE, and a session changes state by `Turns.move` alone. What is not in the
table cannot happen: such a move is our own bug and raises KeyError at that one line.

The user is PAUSED from a short silence on, until it is either too long (STOP) or broken (RESUME).
Speech that begins while a response is due or under way ends it (INTERRUPT), unless the peer wants
the two to go on side by side (SPEAK). docs/turn-taking.md has the picture.
"""

from __future__ import annotations

from enum import Enum


class User(Enum):
    """What the user does."""

    SILENT = "silent"
    SPEAKING = "speaking"
    PAUSED = "paused"


class Response(Enum):
    """How far the response of the conversation has come."""

    NONE = "none"
    WAITING = "waiting"
    RESPONDING = "responding"


class Move(Enum):
    """What changes the state."""

    SPEAK = "speak"
    INTERRUPT = "interrupt"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    ASK = "ask"
    DELTA = "delta"
    END = "end"


State = tuple[User, Response]

SILENT, SPEAKING, PAUSED = User
NONE, WAITING, RESPONDING = Response
SPEAK, INTERRUPT, PAUSE, RESUME, STOP, ASK, DELTA, END = Move

TABLE: dict[State, dict[Move, State]] = {
    (SILENT, NONE): {
        SPEAK: (SPEAKING, NONE),
        ASK: (SILENT, WAITING),
    },
    (SILENT, WAITING): {
        SPEAK: (SPEAKING, WAITING),
        INTERRUPT: (SPEAKING, NONE),
        DELTA: (SILENT, RESPONDING),
        END: (SILENT, NONE),
    },
    (SILENT, RESPONDING): {
        SPEAK: (SPEAKING, RESPONDING),
        INTERRUPT: (SPEAKING, NONE),
        DELTA: (SILENT, RESPONDING),
        END: (SILENT, NONE),
    },
    (SPEAKING, NONE): {
        PAUSE: (PAUSED, NONE),
        STOP: (SILENT, NONE),
        ASK: (SPEAKING, WAITING),
    },
    (SPEAKING, WAITING): {
        PAUSE: (PAUSED, WAITING),
        STOP: (SILENT, WAITING),
        DELTA: (SPEAKING, RESPONDING),
        END: (SPEAKING, NONE),
    },
    (SPEAKING, RESPONDING): {
        PAUSE: (PAUSED, RESPONDING),
        STOP: (SILENT, RESPONDING),
        DELTA: (SPEAKING, RESPONDING),
        END: (SPEAKING, NONE),
    },
    (PAUSED, NONE): {
        RESUME: (SPEAKING, NONE),
        STOP: (SILENT, NONE),
        ASK: (PAUSED, WAITING),
    },
    (PAUSED, WAITING): {
        RESUME: (SPEAKING, WAITING),
        STOP: (SILENT, WAITING),
        DELTA: (PAUSED, RESPONDING),
        END: (PAUSED, NONE),
    },
    (PAUSED, RESPONDING): {
        RESUME: (SPEAKING, RESPONDING),
        STOP: (SILENT, RESPONDING),
        DELTA: (PAUSED, RESPONDING),
        END: (PAUSED, NONE),
    },
}


class Turns:
    """The state of one session."""

    def __init__(self) -> None:
        self.user = SILENT
        self.response = NONE

    def move(self, move: Move) -> None:
        """Change the state; KeyError when there is no such move from here."""
        self.user, self.response = TABLE[self.user, self.response][move]
