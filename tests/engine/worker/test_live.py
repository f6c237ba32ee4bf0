"""One live answer: what it keeps for its consumer, and what is left of it to be asked."""

from __future__ import annotations

import asyncio

import pytest

from realtime.engine.api import Delta, Logprob, Request, Usage, UserTurn
from realtime.engine.worker.live import PENDING, LiveRequest
from realtime.errors import EngineError


@pytest.fixture
def answer() -> LiveRequest:
    return LiveRequest(1, Request("r", "c", (UserTurn(("Hello.",)),), prefix=(1, 2)))


async def test_deltas_are_taken_in_order_and_the_last_one_ends_it(answer):
    first, last = Delta((3,), "a"), Delta((), "", "stop", Usage(5, 0, 3))
    answer.push(first)
    assert not answer.over
    answer.push(last)
    assert answer.over
    assert [await answer.take(), await answer.take()] == [first, last]


def test_what_is_left_begins_behind_every_token_that_came(answer):
    assert answer.rest() == answer.request
    answer.push(Delta((3, 4), "ab"))
    answer.push(Delta((5,), "c"))
    assert answer.rest().prefix == (1, 2, 3, 4, 5)
    assert answer.rest().turns == answer.request.turns


def test_a_token_says_that_the_worker_lives(answer):
    answer.deaths, answer.begun, answer.suspect = 2, True, True
    answer.push(Delta((), ""))
    assert (answer.deaths, answer.begun, answer.suspect) == (2, True, True)
    answer.push(Delta((3,), ""))
    assert (answer.deaths, answer.begun, answer.suspect) == (0, False, False)


def test_a_delta_of_nothing_is_not_kept(answer):
    answer.push(Delta((), ""))
    assert not answer.pending
    assert not answer.news.is_set()


def test_for_a_consumer_that_lags_deltas_are_joined(answer):
    deltas = [Delta((i,), f"{i}", logprobs=(Logprob(i, -1.0),)) for i in range(PENDING + 2)]
    for delta in deltas[:PENDING]:
        answer.push(delta)
    assert list(answer.pending) == deltas[:PENDING]
    for delta in deltas[PENDING:]:
        answer.push(delta)
    *kept, joined = answer.pending
    assert kept == deltas[: PENDING - 1]
    a, b, c = deltas[PENDING - 1 :]
    assert joined.tokens == a.tokens + b.tokens + c.tokens
    assert joined.text == a.text + b.text + c.text
    assert joined.logprobs == a.logprobs + b.logprobs + c.logprobs


async def test_an_error_comes_after_what_is_pending(answer):
    answer.push(Delta((3,), "a"))
    answer.fail(EngineError("lost"))
    assert answer.over
    assert (await answer.take()).tokens == (3,)
    for _ in range(2):
        with pytest.raises(EngineError, match="lost"):
            await answer.take()


async def test_an_error_after_the_end_is_no_error(answer):
    answer.push(Delta((3,), "a", "stop"))
    answer.fail(EngineError("lost"))
    assert answer.error is None
    assert (await answer.take()).finish == "stop"


@pytest.mark.parametrize("ends", [True, False])
async def test_who_waits_is_woken(answer, ends):
    waiting = asyncio.ensure_future(answer.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    if ends:
        answer.fail(EngineError("lost"))
        with pytest.raises(EngineError):
            await waiting
    else:
        answer.push(Delta((3,), "a"))
        assert (await waiting).tokens == (3,)
