"""What no client should send: the error that clients expect, an open socket, others undisturbed."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from conformance.peer import b64, sample
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed

from realtime.protocols.openai.messages import MAX_EVENT

Message = dict[str, Any]
MISSING = object()
TEXT = {"type": "input_text", "text": "what is two plus three"}
USER = {"type": "message", "role": "user", "id": "item_1", "content": [TEXT]}
SOUND = {"type": "input_audio", "audio": b64(bytes(9600)), "transcript": "x"}
ANSWER = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
DETECTION = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
SESSION = {
    "type": "realtime",
    "instructions": "x",
    "output_modalities": ["text"],
    "max_output_tokens": 10,
    "tools": [],
    "tool_choice": "auto",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "whisper-1", "language": "en"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": DETECTION,
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
}
RESPONSE = {
    "conversation": "none",
    "instructions": "x",
    "output_modalities": ["text"],
    "max_output_tokens": 3,
    "metadata": {"a": "b"},
    "input": [USER, {"type": "item_reference", "id": "item_1"}],
}
EVENTS: dict[str, Message] = {
    "session.update": {"session": SESSION},
    "input_audio_buffer.append": {"audio": b64(bytes(960))},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "output_audio_buffer.clear": {},
    "conversation.item.create": {"item": USER, "previous_item_id": "root"},
    "conversation.item.create ": {"item": {**USER, "id": "item_2", "content": [SOUND, TEXT]}},
    "conversation.item.create  ": {"item": ANSWER},
    "conversation.item.retrieve": {"item_id": "item_1"},
    "conversation.item.delete": {"item_id": "item_1"},
    "conversation.item.truncate": {"item_id": "item_1", "content_index": 0, "audio_end_ms": 0},
    "response.create": {"response": RESPONSE},
    "response.cancel": {"response_id": "resp_1"},
}
RETRIEVE = {"type": "conversation.item.retrieve", "item_id": "none"}
CLEAR = {"type": "input_audio_buffer.clear"}
REQUIRED = {
    ("session",),
    ("audio",),
    ("item",),
    ("item", "type"),
    ("item_id",),
    ("content_index",),
    ("audio_end_ms",),
}
NOT_EVENTS = [
    "",
    "x",
    "{",
    "null",
    "7",
    "[]",
    '"session.update"',
    "{}",
    '{"type": null}',
    '{"type": 7}',
    '{"type": ""}',
    '{"type": "session.created"}',
    '{"type": "no.such.event"}',
    '{"type": "' + "x" * 100_000 + '"}',
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"type": "input_audio_buffer.append", "audio": NaN}',
    '{"type": "\ud800"}'.encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    '{"type": "\\ud800"}',
    '{"type": "session.update", "session": {"type": "realtime", "max_output_tokens": 1e999}}',
]
WRONG = [MISSING, None, 7, -1, 1e308, True, "", "x" * 100_000, "\ud800", [], [[]], {}, {"a": None}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the paths of everything inside an event."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in entries:
        yield (*path, name)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, name))


def changed(event: Message, path: tuple[Any, ...], value: Any) -> Message:
    """Put another value into a copy of an event, or take the value away."""
    changed = copy.deepcopy(event)
    inner: Any = changed
    for name in path[:-1]:
        inner = inner[name]
    if value is MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


class Abuser:
    """A socket without any SDK, to say what no SDK says."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.probes = 0
        self.seen: list[Message] = []

    async def send(self, message: Message | str | bytes) -> None:
        await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def next(self) -> Message:
        event: Message = json.loads(await self.socket.recv())
        self.seen.append(event)
        return event

    async def answers(self, *messages: Message | str | bytes) -> list[Message]:
        """Send messages and give all that comes until they are surely dealt with."""
        self.probes += 1
        probe = {
            "type": "conversation.item.retrieve",
            "item_id": "none",
            "event_id": f"probe {self.probes}",
        }
        for message in (*messages, probe):
            await self.send(message)
        answers = []
        while (event := await self.next()).get("error", {}).get("event_id") != probe["event_id"]:
            answers.append(event)
        return answers

    async def error(self, *messages: Message | str | bytes) -> Message:
        """Send messages and give the one error that comes of them."""
        (error,) = [e["error"] for e in await self.answers(*messages) if e["type"] == "error"]
        assert error["type"] == "invalid_request_error", error
        assert error["message"]
        return error


def updated(**heard: Any) -> Message:
    """Change how the server listens."""
    return {"type": "session.update", "session": {"type": "realtime", "audio": {"input": heard}}}


async def flooded(abuser: Abuser, event: Message) -> None:
    """Send an event over and over until the socket is closed."""
    while True:
        await abuser.send(event)
        await asyncio.sleep(0)


async def drained(abuser: Abuser) -> None:
    """Read until the socket is closed."""
    while True:
        await abuser.next()


@asynccontextmanager
async def abusing(address: str, **options: Any):
    async with connect_socket(f"ws://{address}/v1/realtime", max_size=None, **options) as socket:
        abuser = Abuser(socket)
        assert (await abuser.next())["type"] == "session.created"
        yield abuser


@pytest.fixture
async def bystander(connect):
    """Somebody else, who asks the same until the test is over and is always answered."""
    over = asyncio.Event()

    async def ask():
        while True:
            async with connect() as peer:
                await peer.say("what-is-two-plus-three.wav")
                assert await peer.answer() == "Five."
            if over.is_set():
                break

    asking = asyncio.create_task(ask())
    yield
    over.set()
    await asking


pytestmark = [pytest.mark.real_time, pytest.mark.usefixtures("bystander")]


@pytest.mark.parametrize("name", EVENTS)
async def test_events_with_wrong_fields_are_refused_or_harmless(server, name):
    event = {"type": name.strip(), "event_id": "", **EVENTS[name]}
    count = errors = 0
    async with abusing(server) as abuser:
        for path in places(event):
            if path == ("event_id",):
                continue
            for value in WRONG:
                count += 1
                event["event_id"] = f"event {count}"
                answers = await abuser.answers(changed(event, path, value))
                found = [a["error"] for a in answers if a["type"] == "error"]
                errors += len(found)
                for error in found:
                    assert error["type"] == "invalid_request_error", (path, value, error)
                    assert error["event_id"] == event["event_id"], (path, value, error)
                if path in REQUIRED and (value is MISSING or value is None):
                    assert len(found) == 1, (path, value, answers)
        if any(path in REQUIRED for path in places(event)):
            assert errors > 0
    assert count >= len(WRONG)


async def test_an_event_id_may_be_anything(server):
    async with abusing(server) as abuser:
        for value in WRONG:
            event = {"type": "input_audio_buffer.commit", "event_id": value}
            error = await abuser.error(changed(event, ("event_id",), value))
            assert error["event_id"] in (value, None)


async def test_what_is_not_an_event_is_refused(server):
    async with abusing(server) as abuser:
        for text in NOT_EVENTS:
            assert (await abuser.error(text))["message"], text[:50]


async def test_invalid_base64_is_refused(server):
    async with abusing(server) as abuser:
        for audio in ("=", "x", "\u00e9" * 4, "AAA", "AA==AA==", "A" * 9, "%%%%"):
            append = {"type": "input_audio_buffer.append", "audio": audio, "event_id": audio}
            assert (await abuser.error(append))["event_id"] == audio


async def test_binary_messages_are_refused(server):
    async with abusing(server) as abuser:
        for message in (b"", bytes(640), json.dumps({"type": "response.create"}).encode()):
            assert (await abuser.error(message))["message"]


async def test_events_in_impossible_orders(server):
    truncate = {"type": "conversation.item.truncate", "content_index": 0, "audio_end_ms": 0}
    create = {"type": "conversation.item.create", "item": USER}
    async with abusing(server) as abuser:
        codes = {
            "input_audio_buffer.commit": "input_audio_buffer_commit_empty",
            "response.cancel": "response_cancel_not_active",
        }
        for kind, code in codes.items():
            assert (await abuser.error({"type": kind}))["code"] == code
        for kind in ("conversation.item.retrieve", "conversation.item.delete"):
            await abuser.error({"type": kind, "item_id": "item_none"})
        await abuser.error({**truncate, "item_id": "item_none"})
        assert [a["type"] for a in await abuser.answers(create)] == [
            "conversation.item.added",
            "conversation.item.done",
        ]
        await abuser.error(create)
        await abuser.error({**truncate, "item_id": "item_1"})
        await abuser.error({**create, "item": {**USER, "id": "2"}, "previous_item_id": "none"})
        assert await abuser.answers(
            {"type": "input_audio_buffer.clear"}, {"type": "input_audio_buffer.clear"}
        )
        refused = await abuser.answers({"type": "output_audio_buffer.clear"})
        assert "error" not in [a["type"] for a in refused]


async def test_many_answers_at_once_are_refused_but_one(server):
    create = {"type": "response.create"}
    item = {"type": "message", "role": "user", "content": [{**TEXT, "text": "count to twenty"}]}
    async with abusing(server) as abuser:
        answers = await abuser.answers(
            {"type": "conversation.item.create", "item": item}, *[create] * 20
        )
        errors = [a["error"]["code"] for a in answers if a["type"] == "error"]
        assert errors == ["conversation_already_has_active_response"] * 19
        while (await abuser.next())["type"] != "response.done":
            pass
        created = [a for a in abuser.seen if a["type"] == "response.created"]
        assert len(created) == 1


async def test_too_many_answers_aside_are_refused(server):
    create = {
        "type": "response.create",
        "response": {"conversation": "none", "input": [{**USER, "content": [TEXT]}]},
    }
    async with abusing(server) as abuser:
        answers = await abuser.answers(*[create] * 200)
        created = [a for a in answers if a["type"] == "response.created"]
        errors = [a for a in answers if a["type"] == "error"]
        assert len(created) + len(errors) == 200
        assert errors
        done = [a for a in abuser.seen if a["type"] == "response.done"]
        while len(done) < len(created):
            if (event := await abuser.next())["type"] == "response.done":
                done.append(event)
        assert {event["response"]["id"] for event in done} == {
            event["response"]["id"] for event in created
        }


async def test_fifteen_mebibytes_of_audio_in_one_message_are_taken(server):
    update = {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
    }
    async with abusing(server) as abuser:
        await abuser.answers(update)
        append = {"type": "input_audio_buffer.append", "audio": ""}
        append["audio"] = "A" * (20 * 2**20)
        errors = [a for a in await abuser.answers(append) if a["type"] == "error"]
        assert len(errors) <= 1  # five minutes of silence are more than one turn may be
        error = await abuser.error("x" * MAX_EVENT)
        assert error["message"]


async def test_a_longer_message_closes_the_socket(server):
    # Not as a context: websockets 17.4 cannot close what was lost while it was sending.
    socket = await connect_socket(f"ws://{server}/v1/realtime")
    abuser = Abuser(socket)
    sending = asyncio.create_task(abuser.send("x" * (MAX_EVENT + 1)))
    with pytest.raises(ConnectionClosed) as closed:
        await drained(abuser)
    with suppress(Exception):
        await sending
    # What still comes in after the close may make TCP lose the reason.
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


async def test_a_flood_of_events_is_answered_in_order(server):
    async with abusing(server) as abuser:
        for flood in range(10):
            names = [f"{flood}.{i}" for i in range(500)]
            answers = await abuser.answers(*({**RETRIEVE, "event_id": name} for name in names))
            assert [answer["error"]["event_id"] for answer in answers] == names


async def test_a_flood_that_nobody_reads_ends_that_socket_alone(server):
    async with abusing(server) as abuser:
        abuser.socket.transport.pause_reading()
        with pytest.raises(ConnectionClosed):
            await flooded(abuser, updated(turn_detection=None))
        abuser.socket.transport.abort()


async def test_a_format_cannot_change_while_somebody_speaks(server):
    pcm = sample("what-is-the-capital-of-france.mp3") + bytes(48_000)
    half = len(pcm) // 4 * 2
    update = {**updated(format={"type": "audio/pcmu"}), "event_id": "mid"}
    first, second = (
        {"type": "input_audio_buffer.append", "audio": b64(part)}
        for part in (pcm[:half], pcm[half:])
    )
    async with abusing(server) as abuser:
        assert (await abuser.error(first, update))["event_id"] == "mid"
        await abuser.send(second)
        while (done := await abuser.next())["type"] != "response.done":
            pass
        assert done["response"]["output"][0]["content"][0]["text"] == "Paris."
        told = await abuser.answers(update)
        assert [event["type"] for event in told if event["type"] == "error"] == []
