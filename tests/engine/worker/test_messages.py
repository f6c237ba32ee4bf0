"""Requests arrive as they were sent, and what cannot travel is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.api import (
    AssistantTurn,
    Clip,
    Delta,
    Loading,
    ModelInfo,
    Request,
    Sampling,
    SystemTurn,
    Usage,
    UserTurn,
)
from realtime.engine.worker import messages
from realtime.errors import Busy, ContextTooLong, EngineError

CLIP = st.builds(
    lambda id, pcm: Clip(id, np.array(pcm, np.int16)),
    st.text(max_size=4),
    st.lists(st.integers(-32768, 32767), max_size=8),
)
TOKENS = st.lists(st.integers(0, 200_000), max_size=5).map(tuple)
TURN = st.one_of(
    st.builds(SystemTurn, st.text()),
    st.builds(UserTurn, st.lists(CLIP | st.text(), max_size=4).map(tuple)),
    st.builds(AssistantTurn, TOKENS, st.text()),
)
SAMPLING = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 100),
    top_k=st.none() | st.integers(0, 100),
    seed=st.none() | st.integers(0, 2**63 - 1),
    max_tokens=st.integers(1, 8192),
)
REQUEST = st.builds(
    Request,
    id=st.text(),
    conversation=st.text(),
    turns=st.lists(TURN, max_size=4).map(tuple),
    sampling=SAMPLING,
    prefix=TOKENS,
    template=st.booleans(),
    priority=st.sampled_from(["normal", "low"]),
)


def sent(message):
    """What the worker makes of a message."""
    data = messages.frame(message)
    (size,) = messages.LENGTH.unpack(data[: messages.LENGTH.size])
    assert size == len(data) - messages.LENGTH.size
    return messages.TO_WORKER.decode(data[messages.LENGTH.size :])


@given(REQUEST, st.integers(0, 2**63 - 1))
def test_a_request_arrives_as_it_was_sent(request, serial):
    clips = messages.clips_of(request)
    heard = {id: sent(messages.hear(clip)) for id, clip in clips.items()}
    asked = sent(messages.generate(serial, request))
    assert set(messages.names_of(asked)) == set(clips)
    got = messages.request_of(asked, clips)
    assert got.id == str(serial)
    for name in ("conversation", "sampling", "prefix", "template", "priority"):
        assert getattr(got, name) == getattr(request, name)
    assert messages.generate(serial, got) == messages.generate(serial, request)
    for id, clip in clips.items():
        assert np.frombuffer(heard[id].pcm, "<i2").tolist() == clip.pcm.tolist()


@pytest.mark.parametrize(
    "message",
    [
        messages.Progress(Loading("weights", 0.5)),
        messages.Ready(ModelInfo("m", 8192, 7, "float32", "cpu")),
        messages.Unloadable("no"),
        messages.Piece(3, Delta((1, 2), "é", "stop", Usage(1, 2, 3))),
        messages.Piece(3, Delta((1, 2), "é")),
        messages.Failed(3, "engine_error", "no"),
        messages.Missing(3, ("a", "b")),
        messages.Begun((3, 4)),
        messages.Pulse(3, True),
    ],
    ids=lambda message: type(message).__name__,
)
def test_news_of_the_worker_arrive_as_they_were_sent(message):
    assert messages.FROM_WORKER.decode(messages.frame(message)[messages.LENGTH.size :]) == message


def test_a_message_beyond_the_limit_is_refused():
    with pytest.raises(EngineError, match="16,777,216 are allowed"):
        messages.frame(messages.Hear("c", bytes(messages.MAX_MESSAGE)))


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(EngineError, match="surrogate"):
        messages.frame(messages.generate(1, Request("r", "c", (UserTurn(("\ud800",)),))))


def test_an_absurd_sampling_value_does_not_arrive():
    data = messages.frame(
        messages.generate(1, Request("r", "c", (UserTurn(("x",)),), Sampling(top_k=5)))
    )
    spoilt = msgspec.msgpack.decode(data[messages.LENGTH.size :])
    spoilt[4]["top_k"] = -5
    with pytest.raises(msgspec.ValidationError, match="top_k must be"):
        messages.TO_WORKER.decode(msgspec.msgpack.encode(spoilt))


def test_a_busy_worker_tells_when_to_come_again():
    error = messages.error_of(messages.Failed(1, "busy", "full", 2.5))
    assert isinstance(error, Busy)
    assert error.retry_after == 2.5


@pytest.mark.parametrize(
    ("code", "kind"),
    [("engine_error", EngineError), ("context_too_long", ContextTooLong), ("new", EngineError)],
)
def test_errors_keep_their_class(code, kind):
    error = messages.error_of(messages.Failed(1, code, "why"))
    assert (type(error), str(error)) == (kind, "why")
