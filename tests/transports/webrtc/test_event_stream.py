"""What a session says is kept a while for those who follow it, and holds nobody up."""

from __future__ import annotations

import asyncio

from fakes import GUARD_S

from realtime.transports.webrtc.event_stream import KEPT, EventStream, sent_event


async def read(stream: EventStream, number: int = 0) -> list[str]:
    async with asyncio.timeout(GUARD_S):
        return [text async for text in stream.follow(number)]


async def test_messages_are_numbered_events():
    stream = EventStream()
    stream.add('{"type":"ready"}')
    stream.add('{"type":"partial"}')
    stream.end()
    assert await read(stream) == [
        'id: 1\ndata: {"type":"ready"}\n\n',
        'id: 2\ndata: {"type":"partial"}\n\n',
    ]


async def test_a_follower_gets_what_comes_while_it_reads():
    stream = EventStream()
    reading = asyncio.create_task(read(stream))
    for number in range(3):
        await asyncio.sleep(0)
        stream.add(str(number))
    stream.end()
    assert await reading == [sent_event(n + 1, str(n)) for n in range(3)]


async def test_a_follower_that_comes_back_goes_on_where_it_was():
    stream = EventStream()
    for number in range(5):
        stream.add(str(number))
    stream.end()
    assert await read(stream, 3) == [sent_event(4, "3"), sent_event(5, "4")]
    assert await read(stream, 99) == []


async def test_the_oldest_go_when_there_are_too_many():
    stream = EventStream()
    for number in range(KEPT + 10):
        stream.add(str(number))
    stream.end()
    got = await read(stream)
    assert len(got) == KEPT
    assert got[0] == sent_event(11, "10")


async def test_several_follow_at_once_and_are_counted():
    stream = EventStream()
    readers = [asyncio.create_task(read(stream)) for _ in range(3)]
    await asyncio.sleep(0)
    assert stream.readers == 3
    stream.add("x")
    stream.end()
    assert await asyncio.gather(*readers) == [[sent_event(1, "x")]] * 3
    assert stream.readers == 0


async def test_a_quiet_session_gives_signs_of_life(monkeypatch):
    monkeypatch.setattr("realtime.transports.webrtc.event_stream.COMMENT_S", 0.0)
    stream = EventStream()
    following = stream.follow(0)
    assert await anext(following) == ":\n\n"
    await following.aclose()
    assert stream.readers == 0


def test_lines_of_a_message_stay_lines():
    assert sent_event(7, "a\nb") == "id: 7\ndata: a\ndata: b\n\n"
    assert sent_event(8, "") == "id: 8\ndata: \n\n"
