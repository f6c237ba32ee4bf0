"""The tokenizer and the chat template's pieces as token ids."""

from __future__ import annotations

import random

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import dialogues, skills

SIZE = 1024
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>",
)  # fmt: skip
END_OF_TEXT, IM_START, IM_END, AUDIO, AUDIO_BOS, AUDIO_EOS = range(6)


def training_text() -> list[str]:
    """Collect every sentence of the domain, as spoken, typed, answered and instructed."""
    rng = random.Random(0)
    lines = [dialogues.DEFAULT_SYSTEM, "system", "user", "assistant", "Audio 1: Audio 12: "] * 20
    lines += [*dialogues.SYSTEMS] * 2
    asked = (skills.ASK_WORDS, skills.ASK_SOUND, skills.ASK_SPEAKER, skills.ASK_CAPTION)
    lines += [*asked, skills.NOTHING_HEARD, skills.A_VOICE, "A man. A woman."] * 10
    for kind in skills.SOUNDS.values():
        lines += [f"It is {kind}.", skills.sentence(kind)] * 5
    for group in skills.plain_questions().values():
        repeat = max(1, 60 // len(group))
        for question in group * repeat:
            spoken = question.words
            lines += [
                spoken,
                question.answer,
                skills.sentence(spoken),
                f" A person says: {spoken}.",
            ]
            lines.append(dialogues.retyped(spoken, rng))
    for _ in range(20):
        lines += [skills.MY_NAME, skills.SAY_AGAIN, skills.NO_NAME, skills.NOTHING_SAID]
        lines += [skills.sentence(skills.MY_NAME), skills.sentence(skills.SAY_AGAIN)]
        lines += [f"Your name is {name}." for name in skills.NAMES]
    return lines


def train_tokenizer() -> Tokenizer:
    """Train the byte-level tokenizer: every word of the domain becomes one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer
