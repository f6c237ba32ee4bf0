"""The checker itself: it takes the order of a right server and no other."""

from __future__ import annotations

import pytest
from conformance.order import Order, subject

SPOKEN = {"type": "input_audio", "transcript": None}


def message(item, role, status, *content):
    return {
        "id": item,
        "type": "message",
        "role": role,
        "status": status,
        "content": list(content),
    }


def spoken_turn(item="u", previous=None, end=900):
    user = message(item, "user", "completed", SPOKEN)
    heard = "input_audio_buffer"
    yield {"type": f"{heard}.speech_started", "item_id": item, "audio_start_ms": 0}
    yield {"type": f"{heard}.speech_stopped", "item_id": item, "audio_end_ms": end}
    yield {"type": f"{heard}.committed", "item_id": item, "previous_item_id": previous}
    yield {"type": "conversation.item.added", "item": user, "previous_item_id": previous}
    yield {"type": "conversation.item.done", "item": user, "previous_item_id": previous}


def answered(response="r", item="a", previous="u", deltas=("Fi", "ve."), aside=False):
    ids = {"response_id": response, "output_index": 0}
    part = {**ids, "item_id": item, "content_index": 0}
    text = "".join(deltas)
    begun = message(item, "assistant", "in_progress")
    whole = message(item, "assistant", "completed", {"type": "output_text", "text": text})
    told = {"id": response, "conversation_id": None if aside else "c", "metadata": None}
    yield {
        "type": "response.created",
        "response": {**told, "status": "in_progress", "output": [], "usage": None},
    }
    yield {"type": "response.output_item.added", **ids, "item": begun}
    if not aside:
        yield {"type": "conversation.item.added", "item": begun, "previous_item_id": previous}
    empty = {"type": "text", "text": ""}
    yield {"type": "response.content_part.added", **part, "part": empty}
    for delta in deltas:
        yield {"type": "response.output_text.delta", **part, "delta": delta}
    yield {"type": "response.output_text.done", **part, "text": text}
    yield {"type": "response.content_part.done", **part, "part": {**empty, "text": text}}
    if not aside:
        yield {"type": "conversation.item.done", "item": whole, "previous_item_id": previous}
    yield {"type": "response.output_item.done", **ids, "item": whole}
    yield {
        "type": "response.done",
        "response": {**told, "status": "completed", "output": [whole], "usage": {}},
    }
    yield {"type": "rate_limits.updated", "rate_limits": []}


def conversation():
    """Give the events of a short conversation."""
    written = message("w", "user", "completed", {"type": "input_text", "text": "x"})
    events = [
        {"type": "session.created", "session": {}},
        *spoken_turn(),
        *answered(),
        *answered("r2", "a2", aside=True),
        {"type": "conversation.item.added", "item": written, "previous_item_id": "a"},
        {"type": "conversation.item.done", "item": written, "previous_item_id": "a"},
        *answered("r3", "a3", "w", ()),
        *spoken_turn("u2", "a3", 1900),
    ]
    return [{"event_id": f"event_{i}", **event} for i, event in enumerate(events)]


def follow(events):
    order = Order()
    for event in events:
        order.follow(event)
    return order


def test_the_order_of_a_right_server_is_taken():
    order = follow(conversation())
    assert order.items == ["u", "a", "w", "a3", "u2"]
    assert [answer.text for answer in order.answers.values()] == ["Five.", "Five.", ""]


# The last event has nothing after it that would miss it.
@pytest.mark.parametrize("at", range(len(conversation()) - 1))
def test_an_event_that_is_missing_is_noticed(at):
    events = conversation()
    gone = events.pop(at)
    if gone["type"] in ("input_audio_buffer.speech_stopped", "rate_limits.updated"):
        follow(events)  # a turn may be committed by hand, and limits are told if there are any
        return
    with pytest.raises((AssertionError, KeyError)):
        follow(events)


@pytest.mark.parametrize("at", range(len(conversation())))
def test_an_event_that_comes_twice_is_noticed(at):
    events = conversation()
    again = {**events[at], "event_id": "again"}
    twice = [*events[: at + 1], again, *events[at + 1 :]]
    if again["type"] == "session.created":
        return
    if at == len(events) - 1:
        twice.append({"type": "session.updated", "event_id": "last"})
    with pytest.raises((AssertionError, KeyError)):
        follow(twice)


@pytest.mark.parametrize("at", range(len(conversation()) - 1))
def test_events_that_change_places_are_noticed(at):
    events = conversation()
    first, second = events[at : at + 2]
    if first["type"] == second["type"] or subject(first) != subject(second):
        return  # what belongs to different things has no order, unless told above
    events[at : at + 2] = [second, first]
    with pytest.raises((AssertionError, KeyError)):
        follow(events)
