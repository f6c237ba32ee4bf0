"""The demonstration model's training: its wording, its layouts, its features, a run of it all."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from demo import (  # noqa: E402
    augment,
    batches,
    card,
    dialogues,
    evaluate,
    export,
    model,
    samples,
    skills,
    sounds,
    training,
    vocabulary,
    voices,
)
from demo.dialogues import Dialogue, Turn  # noqa: E402
from demo.vocabulary import AUDIO, IM_END  # noqa: E402

TOKENIZER = vocabulary.train_tokenizer()


@pytest.fixture(scope="module")
def processor():
    return export.make_processor(TOKENIZER)


def answer_to(words: str) -> str:
    every = {q.words: q.answer for group in skills.plain_questions().values() for q in group}
    return every[words]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("what is two plus three", "Five."),
        ("what is twenty plus twenty", "Forty."),
        ("what is nineteen minus nineteen", "Zero."),
        ("what is six times six", "Thirty-six."),
        ("turn off the hall radio", "Okay, the hall radio is off."),
        ("set a timer for one minute", "Timer set for one minute."),
        ("set a timer for ten minutes", "Timer set for ten minutes."),
        ("what is the capital of france", "Paris."),
        ("what is the opposite of hot", "Cold."),
        ("what day comes before monday", "Sunday."),
        ("what day comes after sunday", "Monday."),
        ("count to three", "One, two, three."),
        ("my name is anna", "Nice to meet you, Anna."),
    ],
)
def test_answers_follow_the_contract(words, answer):
    assert answer_to(words) == answer


def test_differences_are_never_negative_and_products_stay_small():
    words = [q.words for q in skills.plain_questions()["arithmetic"]]
    assert len(words) == len(set(words)) == 21 * 21 + 21 * 22 // 2 + 7 * 7
    assert "what is two minus three" not in words
    assert "what is seven times two" not in words


def test_every_spoken_phrase_is_lower_case_letters():
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", words) for _, words in skills.phrases())


def test_plan_covers_skills_by_share_and_phrases_evenly():
    plan = skills.spoken_plan(4000, random.Random(0))
    sums = [words for words in plan if " plus " in words]
    assert len(plan) == 4000
    assert 900 < len(sums) < 1300
    assert len(set(sums)) == 21 * 21


def test_words_of_the_domain_are_single_tokens():
    for _, words in skills.phrases():
        assert len(TOKENIZER.encode(words).ids) == len(words.split())


def test_any_text_survives_the_tokenizer():
    text = 'Ünïcode, "quotes" and 漢字\n\ttabs 123'
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


@pytest.mark.parametrize("length", [1, 2, 5])
def test_layout_is_what_the_chat_template_renders(processor, length):
    rng = random.Random(length)
    composer = batches.Composer(TOKENIZER)
    for _ in range(40):
        dialogue = dialogues.draw_dialogue(rng, length)
        if dialogue.caption or dialogue.first_audio != 1:
            continue
        heard = sum(turn.source != "typed" for turn in dialogue.turns)
        layout = composer.lay_out(dialogue, [[AUDIO]] * heard)
        rendered = processor.apply_chat_template(as_messages(dialogue), tokenize=False)
        assert layout.ids == processor.tokenizer(rendered)["input_ids"]


def as_messages(dialogue: Dialogue) -> list[dict[str, object]]:
    messages: list[dict[str, object]] = [{"role": "system", "content": dialogue.system}]
    for turn in dialogue.turns:
        parts = [{"type": "text", "text": turn.text}] if turn.text else []
        if turn.source != "typed":
            audio = {"type": "audio", "audio_url": "x"}
            parts.insert(len(parts) if turn.text_first else 0, audio)
        messages.append({"role": "user", "content": parts})
        messages.append({"role": "assistant", "content": turn.answer})
    return messages


def test_only_answers_are_learnt_and_interrupted_ones_have_no_end():
    composer = batches.Composer(TOKENIZER)
    cut = Turn("typed", "", "count to five", "One, two,", "counting", finished=False)
    whole = Turn("typed", "", "count to three", "One, two, three.", "counting")
    layout = composer.lay_out(Dialogue((cut, whole)), [])
    learnt = [token for token in layout.labels if token != batches.IGNORED]
    assert TOKENIZER.decode(learnt, skip_special_tokens=False) == (
        "One, two,One, two, three.<|im_end|>"
    )
    assert learnt.count(IM_END) == 1


def test_say_that_again_repeats_what_was_delivered():
    rng = random.Random(3)
    checked = 0
    for _ in range(400):
        turns = dialogues.draw_dialogue(rng, 4).turns
        for before, turn in itertools.pairwise(turns):
            asked = skills.SAY_AGAIN in (turn.content, turn.text.lower().rstrip(".!"))
            if turn.skill == "memory" and asked and turn.finished:
                assert turn.answer == before.answer
                checked += 1
    assert checked > 20


@pytest.mark.parametrize("samples_count", [1600, 16_001, 33_333, 80_000])
def test_log_mel_is_the_feature_extractors(processor, samples_count):
    wave = np.random.default_rng(1).normal(0, 0.1, samples_count).astype(np.float32)
    other = np.random.default_rng(2).normal(0, 0.1, 90_000).astype(np.float32)
    stock = processor.feature_extractor(wave, sampling_rate=16_000, return_tensors="pt")
    mine = augment.log_mel([wave, other])[0]
    frames = augment.mel_frames(samples_count)
    reach = frames + augment.CONTEXT
    np.testing.assert_allclose(mine[:, :reach], stock["input_features"][0][:, :reach], atol=1e-5)


def test_audio_tokens_count_as_the_processor_counts(processor):
    for n in (1600, 3333, 16_000, 16_001, 54_321):
        inputs = processor(
            text="<|audio_bos|><|AUDIO|><|audio_eos|>", audio=np.zeros(n, np.float32),
            sampling_rate=16_000, return_tensors="pt",
        )  # fmt: skip
        assert int((inputs["input_ids"] == AUDIO).sum()) == augment.audio_tokens(n)


def test_truncated_encoding_equals_the_stock_encoder(processor):
    torch.manual_seed(0)
    learner = model.Learner().eval()
    rng = np.random.default_rng(0)
    waves = [rng.normal(0, 0.1, n).astype(np.float32) for n in (12_345, 20_000)]
    frames = torch.tensor([augment.mel_frames(len(w)) for w in waves])
    with torch.no_grad():
        projected = learner.encode(augment.log_mel(waves), frames)[2]
        for row, wave in zip(projected, waves, strict=True):
            count = augment.audio_tokens(len(wave))
            stock = stock_audio(learner, processor, wave)
            torch.testing.assert_close(row[:count], stock, atol=2e-5, rtol=1e-4)


def stock_audio(learner, processor, wave):
    """Return what the stock model puts in the place of the audio tokens."""
    inputs = processor(
        text="<|audio_bos|><|AUDIO|><|audio_eos|>", audio=wave, sampling_rate=16_000,
        return_tensors="pt",
    )  # fmt: skip
    seen = []
    language_model = learner.model.model.language_model
    handle = language_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    learner.model(**inputs)
    handle.remove()
    return seen[0][0][inputs["input_ids"][0] == AUDIO]


@pytest.mark.parametrize("kind", list(skills.SOUNDS))
def test_sounds_are_audible_finite_and_varied(kind):
    waves = [sounds.MAKERS[kind](np.random.default_rng(seed)) for seed in range(5)]
    for wave in waves:
        assert np.isfinite(wave).all()
        assert 0.4 * voices.RATE < len(wave) < 10 * voices.RATE
        assert 0.05 < np.abs(wave).max() < 4
    assert not np.array_equal(waves[0][:4000], waves[1][:4000])


def test_held_out_voices_never_train():
    rng = random.Random(0)
    orders = [voices.order_espeak("hello there", rng) for _ in range(3000)]
    assert not {o.voice.rpartition("+")[2] for o in orders} & set(voices.HELD_OUT_VARIANTS)
    assert "slt" not in voices.FLITE_VOICES
    assert not any("slt" in voice for voice in voices.FESTIVAL_VOICES)


def test_learning_rate_is_linear_between_its_points_and_ends_at_nothing():
    settings = training.Settings(rates=((0, 0.0), (100, 1.0), (800, 1.0), (1000, 0.0)))
    factors = [training.rate_factor(step, settings) for step in range(1, 1001)]
    assert factors[49] == 0.5
    assert factors[99:800] == [1.0] * 701
    assert factors[-1] == 0
    assert all(b <= a for a, b in itertools.pairwise(factors[99:]))
    assert training.RATES[-1] == (training.Settings().steps, 0.0)


def test_phases_begin_after_their_first_step_count():
    phases = training.CURRICULUM
    found = [phases.index(batches.phase_at(phases, step)) for step in (1, 700, 701, 1900, 9000)]
    assert found == [0, 0, 1, 2, len(phases) - 1]
    assert not batches.phase_at(phases, 1).answering


def test_scores_add_up_and_show_in_the_card():
    turn = Turn("typed", "", "count to three", "One, two, three.", "counting")
    case = evaluate.Case("text only", "typed", "counting", Dialogue((turn,)), ())
    found = evaluate.merge(
        [evaluate.score([case, case], ["One, two, three.", "No."]), evaluate.score([case], [""])]
    )
    assert found == {("text only", "typed", "counting"): (1, 3)}
    spoken = {("voice chat", "held_espeak", "arithmetic"): (19, 20)}
    facts = card.Facts(training.Settings(), 4_000_000, {"espeak": 10}, 1.5)
    text = card.write_card(found | spoken, facts)
    assert "33 % of 3" in text
    assert "95 % of 20" in text
    assert "not an assistant" in text


def test_samples_promise_the_answers_of_the_contract():
    for sample in samples.SAMPLES:
        if sample.voice and sample.words not in (skills.MY_NAME, skills.SAY_AGAIN):
            assert sample.answer == answer_to(sample.words)


def run_script(*options: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "scripts" / "train_demo_model.py")
    return subprocess.run(
        [sys.executable, script, *options], capture_output=True, text=True, timeout=280
    )


@pytest.mark.script_scale
def test_help_teaches():
    shown = run_script("--help")
    assert shown.returncode == 0
    for word in ("espeak-ng", "flite", "festival", "--smoke", "--device", "continues"):
        assert word in shown.stdout


@pytest.mark.script_scale
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_smoke_run_makes_a_checkpoint_and_resumes(tmp_path):
    work, out = tmp_path / "work", tmp_path / "model"
    options = ("--smoke", "--work", str(work), "--out", str(out))
    first = run_script(*options)
    assert first.returncode == 0, first.stderr
    files = {path.name for path in out.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "README.md"} <= files
    assert {"tokenizer.json", "processor_config.json", "chat_template.jinja"} <= files
    assert json.loads((out / "config.json").read_text())["model_type"] == "qwen2_audio"
    weights = (out / "model.safetensors").read_bytes()
    again = run_script(*options)
    assert again.returncode == 0, again.stderr
    assert "Exporting the state of step 4." in again.stderr
    assert "s/step" not in again.stdout  # nothing was trained anew
    assert (out / "model.safetensors").read_bytes() == weights
