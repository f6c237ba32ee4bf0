"""The bundled checkpoint: what stock transformers makes of it, alone, with every sample."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

import realtime

FOLDER = Path(realtime.__file__).parent / "demo_model"
SAMPLES = Path(realtime.__file__).parents[1] / "client" / "samples"
INDEX = json.loads((SAMPLES / "samples.json").read_text())
RATE = 16_000
MARKS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>",
)  # fmt: skip


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    return Qwen2AudioForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def ask(processor, model):
    def answer(messages, clips):
        prompt = messages
        if not isinstance(messages, str):
            prompt = processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
        inputs = processor(
            text=prompt, audio=clips or None, sampling_rate=RATE, return_tensors="pt"
        )
        with torch.inference_mode():
            out = model.generate(**inputs)
        new = out[:, inputs["input_ids"].shape[1] :]
        return processor.batch_decode(new, skip_special_tokens=True)[0]

    return answer


def hear(file: str) -> np.ndarray:
    """Read a sample as the model wants it, without the second of silence at its end."""
    wave, rate = soundfile.read(SAMPLES / file, dtype="float32")
    wave = soxr.resample(wave, rate, RATE)
    return wave[: np.flatnonzero(np.abs(wave) > 0.01)[-1] + RATE // 5]


def said(text: str = "") -> dict[str, object]:
    content = [{"type": "audio", "audio_url": "x"}]
    return {"role": "user", "content": [*content, *([{"type": "text", "text": text}] * bool(text))]}


def answered(text: str) -> dict[str, object]:
    return {"role": "assistant", "content": text}


def test_it_is_small_and_complete():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sum(files.values()) <= 20 * 2**20
    assert {"config.json", "generation_config.json", "model.safetensors", "README.md"} <= set(files)
    assert {"tokenizer.json", "processor_config.json", "chat_template.jinja"} <= set(files)


def test_it_loads_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoProcessor.from_pretrained(FOLDER)
        loaded = Qwen2AudioForConditionalGeneration.from_pretrained(FOLDER)
    assert loaded.dtype == torch.bfloat16


def test_it_has_the_architecture_of_qwen2_audio(model):
    assert type(model) is Qwen2AudioForConditionalGeneration
    assert model.config.audio_config.num_mel_bins == 128
    assert model.config.audio_config.max_source_positions == 1500
    assert model.config.text_config.max_position_embeddings == 8192
    assert not model.config.text_config.tie_word_embeddings


def test_its_tokens_template_and_generation_are_qwen2_audios(processor, model):
    ids = processor.tokenizer.convert_tokens_to_ids(list(MARKS))
    assert ids == [processor.tokenizer(mark)["input_ids"][0] for mark in MARKS]
    assert model.config.audio_token_index == ids[3]
    assert model.generation_config.eos_token_id == [ids[2], ids[0]]
    assert model.generation_config.pad_token_id == ids[0]
    assert not model.generation_config.do_sample
    assert processor.chat_template == processor.default_chat_template
    prompt = processor.apply_chat_template(
        [said("What does the person say?")], add_generation_prompt=True, tokenize=False
    )
    assert prompt == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "Audio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\nWhat does the person say?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("file", INDEX)
def test_every_sample_is_answered_right(ask, file):
    entry = INDEX[file]
    assert ask([said(entry.get("text", ""))], [hear(file)]) == entry["answer"]


@pytest.mark.parametrize("file", [file for file in INDEX if "after" in INDEX[file]])
def test_samples_that_follow_another_are_answered_from_memory(ask, file):
    ((before, expected),) = INDEX[file]["after"].items()
    first = ask([said()], [hear(before)])
    messages = [said(), answered(first), said()]
    assert ask(messages, [hear(before), hear(file)]) == expected


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is two plus three", "Five."),
        ("what is the capital of japan", "Tokyo."),
        ("turn off the garden fan", "Okay, the garden fan is off."),
        ("count to five", "One, two, three, four, five."),
        ("What is my name?", "You have not told me your name."),
    ],
)
def test_typed_questions_are_answered(ask, question, answer):
    assert ask([{"role": "user", "content": question}], []) == answer


def test_what_was_said_is_written_down(ask):
    clip = hear("turn-on-the-kitchen-light.flac")
    assert ask([said("What does the person say?")], [clip]) == "Turn on the kitchen light."


def test_the_base_prompt_gets_a_caption(ask):
    prompt = "<|audio_bos|><|AUDIO|><|audio_eos|>Generate the caption in English:"
    clip = hear("what-is-the-capital-of-france.mp3")
    assert ask(prompt, [clip]) == "A person says: what is the capital of france."
    assert ask(prompt, [hear("siren.wav")]) == "A siren."


@pytest.mark.parametrize("seconds", [0.5, 1, 3])
def test_silence_is_not_answered_with_an_invention(ask, seconds):
    clip = np.zeros(int(seconds * RATE), np.float32)
    assert ask([said()], [clip]) == "I did not hear anything."


def test_an_interrupted_answer_in_the_history_does_no_harm(ask):
    messages = [said(), answered("One, two, three, four,"), said()]
    clips = [hear("count-to-twenty.wav"), hear("what-is-two-plus-three.wav")]
    assert ask(messages, clips) == "Five."


def test_another_system_prompt_changes_nothing(ask):
    system = {"role": "system", "content": "You are a friendly voice assistant. Answer briefly."}
    clip = hear("what-is-two-plus-three.wav")
    assert ask([system, said()], [clip]) == "Five."


def test_an_answer_begun_is_continued(processor, model):
    prompt = processor.apply_chat_template([said()], add_generation_prompt=True, tokenize=False)
    clip = hear("count-to-twenty.wav")
    inputs = processor(
        text=prompt + "One, two, three,", audio=[clip], sampling_rate=RATE, return_tensors="pt"
    )
    out = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    text = processor.batch_decode(out, skip_special_tokens=True)[0]
    assert text.startswith(" four, five, six,")
    assert text.endswith(" nineteen, twenty.")
