"""The Agents SDK in Node, the strictest client there is: events, history and answers are right."""

from __future__ import annotations

import pytest
from conformance.node_agents import agents, interruption
from conformance.peer import INDEX
from conformance.schema import NODE_MISSING, NODE_REASON

pytestmark = [pytest.mark.real_time, pytest.mark.skipif(NODE_MISSING, reason=NODE_REASON)]
SERVER_VAD = {"audio": {"input": {"turnDetection": {"type": "server_vad"}}}}
TWENTY = INDEX["count-to-twenty.wav"]["answer"]


async def test_its_own_session_is_confirmed(server):
    async with agents(server) as peer:
        await peer.event("session.updated")
        session = (await peer.event("session.updated"))["session"]  # by now, in whatever order
        detection = session["audio"]["input"]["turn_detection"]
        assert detection["type"] == "semantic_vad"
        assert detection["interrupt_response"] is True
        assert session["instructions"] == "Answer briefly."
        assert session["output_modalities"] == ["text"]
        assert session["tracing"] == "auto"


async def test_spoken_turns_with_its_defaults(server):
    async with agents(server) as peer:
        await peer.say("my-name-is-anna.wav", quiet_ms=5000)
        assert (await peer.until("agent_end"))["output"] == "Nice to meet you, Anna."
        await peer.say("what-is-my-name.wav", quiet_ms=5000)
        assert (await peer.until("agent_end"))["output"] == "Your name is Anna."
        # It asks for transcripts by default, and reads each item anew when one comes.
        while [who for who, text in peer.history if text is None]:
            await peer.until("history")
        assert peer.history == [
            ("user", "My name is anna."),
            ("assistant", "Nice to meet you, Anna."),
            ("user", "What is my name."),
            ("assistant", "Your name is Anna."),
        ]


async def test_written_turns(server):
    async with agents(server) as peer:
        await peer.tell("message", text="what is two plus three")
        assert (await peer.until("agent_end"))["output"] == "Five."
        await peer.tell("message", text="say that again")
        assert (await peer.until("agent_end"))["output"] == "Five."
        assert [text for _, text in peer.history] == [
            "what is two plus three",
            "Five.",
            "say that again",
            "Five.",
        ]


async def test_push_to_talk(server):
    config = {"audio": {"input": {"turnDetection": None, "transcription": None}}}
    async with agents(server, config) as peer:
        await peer.say("what-is-the-capital-of-france.mp3", quiet_ms=0)
        await peer.tell("audio", audio="", commit=True)
        await peer.tell("send", event={"type": "response.create"})
        assert (await peer.until("agent_end"))["output"] == "Paris."


async def test_speech_interrupts(server):
    second = interruption("what-is-two-plus-three.wav")
    async with agents(server, SERVER_VAD) as peer:
        await peer.tell("message", text="count to twenty")
        await peer.event("response.output_text.delta")
        await peer.interrupt(second)
        done = await peer.event("response.done")
        assert done["response"]["status"] == "cancelled"
        (part,) = done["response"]["output"][0]["content"]
        assert TWENTY.startswith(part["text"])
        while (await peer.until("agent_end"))["output"] != "Five.":
            pass
        assert ("assistant", part["text"]) in peer.history


async def test_questions_that_pile_up_are_answered_one_after_the_other(server):
    questions = (
        "what is two plus three",
        "what is the capital of france",
        "what day comes after monday",
    )
    async with agents(server) as peer:
        for question in questions:
            await peer.tell("message", text=question)
        # It has one answer at a time, and asks once for all that waits meanwhile.
        answers = [(await peer.until("agent_end"))["output"] for _ in range(2)]
        assert answers == ["Five.", "Tuesday."]
        asked = [text for who, text in peer.history if who == "user"]
        assert asked == list(questions)


async def test_history_may_be_rewritten(server):
    async with agents(server) as peer:
        await peer.tell("message", text="my name is anna")
        await peer.until("agent_end")
        await peer.tell("history", history=[])
        for _ in range(2):
            await peer.event("conversation.item.deleted")
        await peer.tell("message", text="what is my name")
        assert (await peer.until("agent_end"))["output"] == "You have not told me your name."
