"""The order of the server's events, held against PROTOCOLS for a whole connection.

`Order.follow` takes every event as it comes and raises AssertionError at the first one that is out
of place, doubled, or at odds with what was said before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]

LETTERS = {
    "response.created": "C",
    "response.output_item.added": "I",
    "conversation.item.added": "i",
    "response.content_part.added": "P",
    "response.output_text.delta": "D",
    "response.output_text.done": "t",
    "response.content_part.done": "p",
    "conversation.item.done": "j",
    "response.output_item.done": "o",
    "response.done": "d",
}
KIND = {letter: kind for kind, letter in LETTERS.items()}
SPOKEN = re.compile("CIiPD*tpjod")  # an answer that belongs to the conversation
ASIDE = re.compile("CIPD*tpod")


@dataclass
class Answer:
    """One response as told so far."""

    id: str
    aside: bool
    metadata: Any
    letters: str = "C"
    item: str = ""
    text: str = ""
    status: str = ""


@dataclass
class Order:
    """What a connection has been told so far."""

    ids: set[str] = field(default_factory=set)
    items: list[str] | None = field(default_factory=list)
    """Of the conversation, in their order; None: it began before this connection."""
    finished: set[str] = field(default_factory=set)
    """Items that are done."""
    answers: dict[str, Answer] = field(default_factory=dict)
    by_item: dict[str, Answer] = field(default_factory=dict)
    speaking: str | None = None
    spoken: set[str] = field(default_factory=set)
    at_ms: int = 0
    limits_due: bool = False
    """A response is over: rate_limits.updated may come now, and at no other time."""
    expected: list[tuple[str, str]] = field(default_factory=list)
    """Type and item (or response) of the events that have to be next."""

    def follow(self, event: Message) -> None:
        """Take the next event."""
        kind = event["type"]
        assert event["event_id"], event
        assert event["event_id"] not in self.ids, "the event_id came before"
        assert self.ids or kind == "session.created", event
        self.ids.add(event["event_id"])
        assert kind != "rate_limits.updated" or self.limits_due, event
        self.limits_due = False
        self.follow_expected(event)
        self.follow_input(event)
        self.follow_items(event)
        self.follow_answer(event)

    def follow_expected(self, event: Message) -> None:
        """Hold the event against what was announced to come next."""
        if self.expected:
            kind, of = self.expected.pop(0)
            assert (event["type"], subject(event)) == (kind, of), event

    def expect(self, of: str, *kinds: str) -> None:
        """Announce what has to come next."""
        self.expected += [(kind, of) for kind in kinds]

    def follow_input(self, event: Message) -> None:
        """Follow what the server hears."""
        match event:
            case {"type": "input_audio_buffer.speech_started", "item_id": item}:
                assert self.speaking is None, event
                assert event["audio_start_ms"] >= 0
                self.speaking = item
            case {"type": "input_audio_buffer.speech_stopped", "item_id": item}:
                assert item == self.speaking, event
                assert event["audio_end_ms"] > self.at_ms
                self.speaking, self.at_ms = None, event["audio_end_ms"]
                self.expect(item, "input_audio_buffer.committed")
            case {"type": "input_audio_buffer.committed", "item_id": item}:
                self.speaking = None
                self.spoken.add(item)
                self.expected += [
                    ("conversation.item.added", item),
                    ("conversation.item.done", item),
                ]
            case {"type": "input_audio_buffer.cleared"}:
                self.speaking = None

    def follow_items(self, event: Message) -> None:
        """Follow what the conversation consists of."""
        match event:
            case {"type": "conversation.item.added", "item": item, "previous_item_id": previous}:
                self.place(item["id"], previous)
                if (
                    item["id"] not in self.by_item
                    and ("conversation.item.done", item["id"]) not in self.expected
                ):
                    self.expected.append(("conversation.item.done", item["id"]))
                if item["id"] in self.spoken:
                    assert (item["role"], item["status"]) == ("user", "completed")
                    assert "input_audio" in [part["type"] for part in item["content"]]
            case {"type": "conversation.item.done", "item": item}:
                assert item["id"] not in self.finished, event
                self.finished.add(item["id"])
            case {"type": "conversation.item.deleted", "item_id": item}:
                self.finished.discard(item)
                if self.items is not None:
                    self.items.remove(item)
        for part in event.get("item", {}).get("content", []):
            assert part["type"] != "input_audio" or "transcript" in part, event
        for name in ("name", "arguments", "call_id"):
            assert event.get("item", {}).get(name, "") is not None, event

    def place(self, item: str, previous: str | None) -> None:
        """Put an item where the server says it is."""
        if self.items is not None:
            assert item not in self.items
            assert previous is None or previous in self.items, (previous, self.items)
            at = 0 if previous is None else self.items.index(previous) + 1
            self.items.insert(at, item)

    def follow_answer(self, event: Message) -> None:
        """Follow the responses."""
        kind = event["type"]
        if kind == "response.created":
            self.begin(event["response"])
        elif kind == "response.done":
            self.end(event["response"])
        elif (answer := self.answer_of(event)) is not None:
            answer.letters += LETTERS[kind]
            self.follow_text(answer, event)

    def answer_of(self, event: Message) -> Answer | None:
        """Find the response that an event belongs to."""
        if "response_id" in event:
            answer = self.answers[event["response_id"]]
            assert not answer.status, f"after response.done: {event}"
            assert (event["output_index"], event.get("content_index", 0)) == (0, 0)
            if event["type"] == "response.output_item.added":
                answer.item = event["item"]["id"]
                self.by_item[answer.item] = answer
            assert subject(event) == answer.item, event
            return answer
        if event["type"] in ("conversation.item.added", "conversation.item.done"):
            return self.by_item.get(event["item"]["id"])
        return None

    def begin(self, response: Message) -> None:
        """Note a new response."""
        aside = response["conversation_id"] is None
        assert response["id"] not in self.answers
        assert (response["status"], response["output"], response["usage"]) == (
            "in_progress",
            [],
            None,
        )
        active = [a for a in self.answers.values() if not a.status and not a.aside]
        assert aside or not active, "two answers at once in the conversation"
        self.answers[response["id"]] = Answer(response["id"], aside, response.get("metadata"))

    def follow_text(self, answer: Answer, event: Message) -> None:
        """Hold what the events say of the text against the deltas."""
        match event:
            case {"type": "response.output_text.delta", "delta": delta}:
                assert delta
                answer.text += delta
            case {"type": "response.output_text.done", "text": text}:
                assert text == answer.text
                rest = "po" if answer.aside else "pjo"  # nothing else comes between
                self.expect(answer.item, *(KIND[letter] for letter in rest))
                self.expect(answer.id, "response.done")
            case {"part": part}:
                assert part == {"type": "text", "text": answer.text}, event
            case {"item": item}:
                assert item["role"] == "assistant"
                assert "".join(part["text"] for part in item["content"]) == answer.text
                going = event["type"].endswith(".added")
                assert (item["status"] == "in_progress") == going, event

    def end(self, response: Message) -> None:
        """Note the end of a response, and hold it against all that was told of it."""
        answer = self.answers[response["id"]]
        assert not answer.status, "a second response.done"
        answer.letters += "d"
        answer.status = response["status"]
        assert (ASIDE if answer.aside else SPOKEN).fullmatch(answer.letters), answer
        assert answer.status in ("completed", "cancelled", "incomplete", "failed")
        assert response.get("metadata") == answer.metadata
        (item,) = response["output"]
        assert item["id"] == answer.item
        assert "".join(part["text"] for part in item["content"]) == answer.text
        assert (item["status"] == "completed") == (answer.status == "completed")
        self.limits_due = True


def subject(event: Message) -> str:
    """Name the item, or the response, that an event is about."""
    if "response" in event:
        return str(event["response"]["id"])
    return str(event.get("item_id") or event.get("item", {}).get("id", ""))
