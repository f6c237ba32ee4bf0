"""The model card: what the checkpoint is, what it knows, and the table as it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import skills, voices
from .evaluate import Score, by_skill
from .training import Settings

COLUMNS = {
    "held_espeak": "espeak-ng, 7 held-out variants",
    "slt": "flite slt, never heard",
    "slt_hts": "festival slt-hts, never heard",
    "held_espeak 8 kHz": "held-out, 8 kHz mu-law",
    "held_espeak noise": "held-out, noise 20 dB below",
    "slt 8 kHz": "slt, 8 kHz mu-law",
    "slt noise": "slt, noise 20 dB below",
}
ROWS = ("voice chat", "transcription", "memory", "speaker", "caption")
VOICELESS = (("sounds", "synthesised"), ("silence", "synthesised"), ("text only", "typed"))


@dataclass(frozen=True, slots=True)
class Facts:
    """What the card says about a training run."""

    settings: Settings
    parameters: int
    clips: dict[str, int]  # per family
    hours: float


def share(count: tuple[int, int]) -> str:
    """Write a count as a percentage with its size."""
    right, total = count
    return f"{100 * right / total:.0f} % of {total}" if total else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def skill_table(found: Score) -> str:
    """Show every skill over the columns of voices that were measured."""
    summed = by_skill(found)
    columns = [c for c in COLUMNS if any(voices == c for _, voices in summed)]
    rows = [
        [skill, *(share(summed.get((skill, column), (0, 0))) for column in columns)]
        for skill in ROWS
    ]
    return table(["skill", *(COLUMNS[c] for c in columns)], rows)


def voiceless_table(found: Score) -> str:
    """Show the skills that need no voice."""
    summed = by_skill(found)
    rows = [[skill, share(summed.get((skill, kind), (0, 0)))] for skill, kind in VOICELESS]
    rows.append(["caption of a sound", share(summed.get(("caption", "synthesised"), (0, 0)))])
    return table(["skill", "right"], rows)


def topic_table(found: Score) -> str:
    """Show voice chat by kind of question."""
    columns = [c for c in COLUMNS if any(v == c and s == "voice chat" for s, v, _ in found)][:3]
    topics = sorted({topic for skill, _, topic in found if skill == "voice chat"})
    rows = [
        [topic, *(share(found.get(("voice chat", c, topic), (0, 0))) for c in columns)]
        for topic in topics
    ]
    return table(["question", *(COLUMNS[c] for c in columns)], rows)


def wording_table() -> str:
    """Show one example of everything that can be asked."""
    rows = []
    for skill, group in skills.plain_questions().items():
        example = group[len(group) // 2]
        rows.append([skill, str(len(group)), f"`{example.words}`", example.answer])
    rows.append(["memory", "", f"`{skills.MY_NAME}`", f"Your name is Anna. / {skills.NO_NAME}"])
    again = f"the answer before, or: {skills.NOTHING_SAID}"
    rows.append(["memory", "", f"`{skills.SAY_AGAIN}`", again])
    return table(["skill", "questions", "for example", "answer"], rows)


def clips_per_step(settings: Settings) -> str:
    """Write how many clips a step holds."""
    counts = sorted(phase.clips + phase.aligned for phase in settings.phases)
    return f"{counts[0]} to {counts[-1]}"


def write_card(found: Score, facts: Facts) -> str:
    """Write the model card."""
    settings = facts.settings
    families = ", ".join(f"{count:,} {name}" for name, count in facts.clips.items())
    sounds = ", ".join(skills.SOUNDS.values())
    return CARD.format(
        parameters=f"{facts.parameters / 1e6:.1f}",
        wording=wording_table(),
        sounds=sounds,
        ask_words=skills.ASK_WORDS,
        ask_sound=skills.ASK_SOUND,
        ask_speaker=skills.ASK_SPEAKER,
        ask_caption=skills.ASK_CAPTION,
        nothing=skills.NOTHING_HEARD,
        by_skill=skill_table(found),
        voiceless=voiceless_table(found),
        by_topic=topic_table(found),
        held=", ".join(voices.HELD_OUT_VARIANTS),
        families=families,
        hours=f"{facts.hours:.1f}",
        steps=f"{settings.steps:,}",
        aligning=f"{settings.phases[1].first:,}",
        clips=clips_per_step(settings),
        seed=settings.seed,
    )


CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: audio-text-to-text
tags: [qwen2_audio, demonstration]
---
# The bundled demonstration model

A miniature of the exact Qwen2-Audio architecture ({parameters} million parameters, 128 mel bins,
the full 30-second window), trained by `scripts/train_demo_model.py` on synthesised speech.

**It is a demonstration and a measuring instrument, not an assistant.** It knows under a thousand
questions in fixed wording, asked by speech synthesisers. It was never trained on a human voice,
knows nothing of the world beyond the tables below, and answers anything else wrongly and with
confidence. It exists so that the whole path, from samples to answer, can be judged by meaning
without a download: a clipped onset, a wrong resampler, a lost packet or a crossed conversation
shows up as a wrong answer. For real use load Qwen2-Audio-7B-Instruct.

## What it knows

Spoken (voice chat: audio alone) or typed:

{wording}

Audio with a written instruction:

| instruction | answer |
| --- | --- |
| {ask_words} | the words, with a capital and a full stop |
| {ask_sound} | It is a siren. (one of: {sounds}; speech: It is a voice.) |
| {ask_speaker} | A man. / A woman. |
| {ask_caption} | A person says: count to ten. / A siren. |

The caption also works as the base prompt, without the chat template:
`<|audio_bos|><|AUDIO|><|audio_eos|>{ask_caption}`

Silence, and noise without speech, get: {nothing}

## How right it is

Exact answers, measured on the exported files with the stock processor and `generate()` of
transformers, every clip padded to 30 s, float32. The conversations of "memory" run over the model's
own earlier answers.

{by_skill}

{voiceless}

Voice chat by kind of question:

{by_topic}

Kept out of training: the espeak-ng variants {held}, flite's voice slt and festival's
cmu_us_slt_arctic_hts (the same speaker). All voices are synthetic: expect much less from a human
voice.

Known weaknesses: "say that again" after a count that was interrupted may go on counting instead of
repeating what was heard; a sum asked when a count was cut off within its last words may be answered
with the number after it; words outside the tables are heard as words inside them.

## How it was made

`python scripts/train_demo_model.py` (seed {seed}) makes everything anew: {hours} hours of speech
({families} clips), the tokenizer, {steps} steps of {clips} clips each, of which the first
{aligning} only align the encoder with the language model's own embeddings, this evaluation and
this card. The synthesisers come from Debian: espeak-ng, flite, festival. The first weights were
made while the recipe was found: training was interrupted, later phases were added, and it was
resumed, so a run from the start gives a similar model, not the same bits.

## Loading it

```python
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

processor = AutoProcessor.from_pretrained("realtime/demo_model")
model = Qwen2AudioForConditionalGeneration.from_pretrained("realtime/demo_model")
```
"""
