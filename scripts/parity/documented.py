"""The examples of Qwen2-Audio's documentation (transformers, model_doc/qwen2_audio)."""

from __future__ import annotations

from dataclasses import dataclass

from realtime.engine.api import AssistantTurn, Clip, SystemTurn, UserTurn

from .sides import Conversation

CAPTION = "Generate the caption in English:"


@dataclass(frozen=True, slots=True)
class Example:
    """One example of the documentation; several conversations are one batch."""

    name: str
    conversations: tuple[Conversation, ...]
    template: bool = True


def examples(clips: list[Clip]) -> list[Example]:
    """Give the examples, with these clips."""
    glass, speech, other, cough = (clips[i % len(clips)] for i in range(4))
    tagged = UserTurn(("<|audio_bos|>", glass, f"<|audio_eos|>{CAPTION}"))
    bare = UserTurn((glass, CAPTION))
    chat = (
        UserTurn((speech,)),
        AssistantTurn(text="Yes, the speaker is female and in her twenties."),
        UserTurn((other,)),
    )
    what = UserTurn((glass, "What's that sound?"))
    shattering = AssistantTurn(text="It is the sound of glass shattering.")
    careful = AssistantTurn(
        text="Stay alert and cautious, and check if anyone is hurt or if there is any damage to "
        "property."
    )
    says = UserTurn((speech, "What does the person say?"))
    analysis = (
        SystemTurn("You are a helpful assistant."),
        what,
        shattering,
        UserTurn(("What can you do when you hear that?",)),
        careful,
        says,
    )
    hears = (what, shattering, UserTurn((cough, "What can you hear?")))
    return [
        Example("caption, audio tags", ((tagged,),), template=False),
        Example("caption, no audio tags", ((bare,),), template=False),
        Example("voice chat", (chat,)),
        Example("audio analysis", (analysis,)),
        Example("batch of two", (hears, (says,))),
    ]
