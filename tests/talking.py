"""A session without sockets, what a test says to it, and what it told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

import fakes

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import Request, Usage
from realtime.session.conversation import Conversation
from realtime.session.events import (
    AudioReceived,
    Cleared,
    Committed,
    Configured,
    Effect,
    Emit,
    Final,
    Generate,
    Input,
    ItemPut,
    ResponseEnded,
    ResponseStarted,
    TextDelta,
    Trouble,
)
from realtime.session.items import UserDraft
from realtime.session.session import Session
from realtime.session.settings import SessionConfig, TurnSettings

MS = 16
"""Samples."""


def new_session(
    settings: TurnSettings | None = None,
    *,
    conversation: Conversation | None = None,
    automatic: bool = True,
    speculate: bool = False,
    **config: object,
) -> Session:
    """Make a session that hears loud as speech; it is configured as its peer wants."""
    endpointer = Endpointer(fakes.LoudVad(), EndpointConfig(automatic=automatic))
    kept = conversation or Conversation("c")
    session = Session(kept, endpointer, SessionConfig(speculate=speculate, **config))
    if settings is not None:
        session.receive(Configured(settings))
    return session


# ---- what is said to it -------------------------------------------------------------------------


def loud(ms: int) -> AudioReceived:
    """Speak."""
    return AudioReceived(fakes.loud(ms))


def quiet(ms: int) -> AudioReceived:
    """Be silent."""
    return AudioReceived(fakes.quiet(ms))


def write(text: str, id: str | None = None, after: str | None = None) -> ItemPut:
    """Put a written item of the user."""
    return ItemPut(UserDraft(id, (text,)), after)


def receive(session: Session, *events: Input) -> list[Effect]:
    """Let it have facts one after the other."""
    return [effect for event in events for effect in session.receive(event)]


def speak(session: Session, ms: int = 1000) -> list[Effect]:
    """Say something and wait until that is over."""
    return receive(session, quiet(400), loud(ms), quiet(600))


def pause(session: Session, *first: Input) -> list[Effect]:
    """Say something and pause: whether it is over is not yet certain."""
    return receive(session, *first, quiet(400), loud(1000), quiet(300))


def stream(
    session: Session,
    response: str,
    *pieces: str,
    done: bool = True,
    usage: Usage | None = None,
) -> list[Effect]:
    """Let the engine say a response; the pieces have tokens 10 and 11, 20 and 21, and so on."""
    deltas = [TextDelta(response, (10 * i, 10 * i + 1), text) for i, text in enumerate(pieces, 1)]
    return receive(session, *deltas, *([ResponseEnded(response, "stop", usage)] if done else []))


def reply(
    session: Session, *pieces: str, done: bool = True, usage: Usage | None = None
) -> list[Effect]:
    """Let the engine say the response that is due or under way."""
    assert session.response is not None
    return stream(session, session.response, *pieces, done=done, usage=usage)


# ---- what it told -------------------------------------------------------------------------------

ABOUT_ITEMS = (Committed, ResponseStarted, Cleared)


def names(effects: Iterable[Effect]) -> list[str]:
    """Name what is done and told."""
    return [type(e.notice if isinstance(e, Emit) else e).__name__ for e in effects]


def kinds(effects: Iterable[Effect]) -> list[str]:
    """Name what is done and told, but for what is told of items."""
    return [name for name in names(effects) if name not in {kind.__name__ for kind in ABOUT_ITEMS}]


def told(effects: Iterable[Effect], kind: type) -> list:
    """Give the notices of a kind."""
    return [e.notice for e in effects if isinstance(e, Emit) and isinstance(e.notice, kind)]


def notices(effects: Iterable[Effect], kind: type) -> list:
    """Give the notices of a kind, without ids."""
    return [
        replace(notice, **{f.name: "" for f in fields(notice) if f.name in ("item", "response")})
        for notice in told(effects, kind)
    ]


def asked(effects: Iterable[Effect]) -> list[Generate]:
    """Give what the engine is asked."""
    return [e for e in effects if isinstance(e, Generate)]


def requests(effects: Iterable[Effect]) -> list[Request]:
    """Give the requests to the engine."""
    return [generate.request for generate in asked(effects)]


def codes(effects: Iterable[Effect]) -> list[str]:
    """Give the codes of all troubles, also of what made a response end."""
    failures = [final.failure for final in told(effects, Final) if final.failure]
    return [t.code for t in (*told(effects, Trouble), *failures)]


def order(session: Session) -> list[str]:
    """Give the ids of the items."""
    return [item.id for item in session.conversation.items]
