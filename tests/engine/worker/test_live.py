"""A live request: what is left to ask for, what its consumer gets, and in which order."""

from __future__ import annotations

import pytest

from realtime.engine.api import Delta, Request, UserTurn
from realtime.engine.worker.live import PENDING, LiveRequest
from realtime.errors import EngineError


def live() -> LiveRequest:
    return LiveRequest(1, Request("r", "c", (UserTurn(("hi",)),), prefix=(7,)))


def test_what_has_come_is_not_asked_for_again():
    request = live()
    request.push(Delta((1, 2), "ab"))
    assert request.rest().prefix == (7, 1, 2)
    assert request.request.prefix == (7,)


def test_a_token_clears_every_suspicion_and_an_empty_piece_none():
    request = live()
    request.deaths, request.begun, request.suspect = 2, True, True
    request.push(Delta((), ""))
    assert (request.deaths, request.begun, request.suspect, len(request.pending)) == (
        2, True, True, 0,
    )  # fmt: skip
    request.push(Delta((1,), "a"))
    assert (request.deaths, request.begun, request.suspect) == (0, False, False)


async def test_what_is_pending_comes_before_the_error():
    request = live()
    request.push(Delta((1,), "a"))
    request.fail(EngineError("first"))
    request.fail(EngineError("second"))
    assert (await request.take()).text == "a"
    with pytest.raises(EngineError, match="first"):
        await request.take()


def test_nothing_fails_that_is_over():
    request = live()
    request.push(Delta((), "", "stop"))
    request.fail(EngineError("late"))
    assert (request.over, request.error) == (True, None)


def test_deltas_beyond_the_bound_are_joined_to_the_last():
    request = live()
    for token in range(PENDING + 2):
        request.push(Delta((token,), "x"))
    assert len(request.pending) == PENDING
    assert request.pending[-1] == Delta((PENDING - 1, PENDING, PENDING + 1), "xxx")
