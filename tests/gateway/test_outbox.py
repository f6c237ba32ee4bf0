"""The outbox: order, bounds, and what a full one does."""

from __future__ import annotations

import asyncio

import pytest
from fakes import GUARD_S
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import SlowPeer
from realtime.gateway.outbox import Outbox


async def drained(outbox: Outbox) -> list[bytes | str]:
    outbox.end()
    return [m async for m in aiter_until_none(outbox)]


async def aiter_until_none(outbox: Outbox):
    while (message := await outbox.get()) is not None:
        yield message


async def test_messages_come_in_order_and_then_the_end():
    outbox = Outbox(messages=3, size=100)
    for message in ("a", b"b", "c"):
        outbox.put(message)
    assert await drained(outbox) == ["a", b"b", "c"]
    assert not outbox.overflowed


async def test_a_reader_that_waits_is_woken():
    outbox = Outbox(messages=3, size=100)
    waiting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.put("a")
    assert await waiting == "a"
    waiting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.end()
    assert await waiting is None


async def test_after_an_overflow_nothing_more_is_taken():
    outbox = Outbox(messages=2, size=100)
    for message in ("a", "b", "c"):
        outbox.put(message)
    assert outbox.overflowed
    assert await outbox.get() == "a"
    outbox.put("d")
    assert await drained(outbox) == ["b"]


async def test_bytes_are_counted_as_they_go_over_the_wire():
    outbox = Outbox(messages=10, size=6)
    outbox.put("日本")
    assert outbox.bytes == 6
    outbox.put("x")
    assert outbox.bytes == 7
    assert not outbox.overflowed
    outbox.put("y")
    assert outbox.overflowed


async def test_who_answers_questions_waits_for_room():
    outbox = Outbox(messages=10, size=6)
    outbox.put("much longer than that")
    waiting = asyncio.create_task(outbox.room(GUARD_S))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await outbox.get() == "much longer than that"
    await waiting
    outbox.put("so is this one")
    waiting = asyncio.create_task(outbox.room(GUARD_S))
    await asyncio.sleep(0)
    outbox.end()
    await waiting


async def test_half_full_is_crowded():
    outbox = Outbox(messages=4, size=100)
    outbox.put("a")
    outbox.put("b")
    assert not outbox.crowded
    outbox.put("c")
    assert outbox.crowded
    waiting = asyncio.create_task(outbox.room(GUARD_S))
    await asyncio.sleep(0)
    assert not waiting.done()
    await outbox.get()
    await waiting
    outbox.put("x" * 60)
    assert outbox.crowded


async def test_who_waits_for_room_in_vain_is_told():
    outbox = Outbox(messages=1, size=100)
    outbox.put("a")
    with pytest.raises(SlowPeer):
        await outbox.room(0.01)


@given(st.lists(st.text(max_size=5) | st.none(), max_size=40))
def test_the_bounds_hold_in_any_order_of_puts_and_gets(steps):
    async def play() -> None:
        outbox = Outbox(messages=4, size=12)
        put: list[str] = []
        got: list[bytes | str | None] = []
        for step in steps:
            if step is None and outbox.waiting:
                got.append(await outbox.get())
            elif step is not None:
                outbox.put(step)
                put.append(step)
            assert len(outbox.waiting) <= 4
            sizes = [len(m.encode()) for m, _ in outbox.waiting]
            assert outbox.bytes == sum(sizes)
            assert sum(sizes[:-1]) <= 12
        got += await drained(outbox)
        assert got == put[: len(got)]
        assert outbox.overflowed == (len(got) < len(put))

    asyncio.run(play())
