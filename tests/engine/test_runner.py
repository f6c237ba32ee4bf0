"""The runner's tokens are those of `generate()`, wherever an answer is resumed."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_model
import torch

from realtime.engine.api import AssistantTurn, Clip, Request, Sampling, SystemTurn, UserTurn
from realtime.engine.model import load
from realtime.engine.prompt import Prompts
from realtime.engine.runner import Runner, explained
from realtime.errors import EngineError

GREEDY = Sampling(temperature=0.0)
CLIPS = [Clip(f"c{i}", tiny_model.speechlike(s, i)) for i, s in enumerate((0.1, 0.9, 1.37, 3.0))]
CONVERSATIONS = {
    "voice chat": (UserTurn((CLIPS[1],)),),
    "two turns": (
        UserTurn((CLIPS[1],)),
        AssistantTurn(text="It is the sound of glass."),
        UserTurn((CLIPS[2],)),
    ),
    "analysis": (SystemTurn("Be brief."), UserTurn((CLIPS[3], "What does the person say?"))),
    "two clips, the shortest first": (UserTurn((CLIPS[0], CLIPS[2], "Which is longer?")),),
    "text only": (UserTurn(("Hello there.",)),),
}
MODELS = {
    "mha": tiny_model.Tiny(),
    "gqa": tiny_model.Tiny(kv_heads=2, seed=1, stops=False),
    "deep": tiny_model.Tiny(layers=4, hidden=64, heads=8, kv_heads=1, encoder_layers=3, seed=2),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return load(str(tiny_model.save(folder, MODELS[request.param])), device="cpu")


def build(model, turns):
    return Prompts(model.processor, model.info.context).build(Request("r", "c", tuple(turns)))


def run(runner, prompt, sampling=GREEDY, prefix=(), count=30, ends=frozenset()):
    """Generate so many tokens in all, or up to an end token, which is left out."""
    tokens = list(prefix)
    token = runner.prefill(1, prompt, sampling, tuple(prefix))
    while token not in ends and len(tokens) < count:
        tokens.append(token)
        if len(tokens) < count:
            (token,) = runner.decode((1,))
    runner.free(1)
    return tokens


def stock(model, prompt, count=30, **options):
    clips = [placed.clip.pcm.astype(np.float32) / 32768 for placed in prompt.clips]
    inputs = {"input_ids": torch.tensor([prompt.ids])}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if clips:
        features = model.processor.feature_extractor(
            clips,
            sampling_rate=16_000,
            return_attention_mask=True,
            padding="max_length",
            return_tensors="pt",
        )
        inputs["input_features"] = features["input_features"]
        inputs["feature_attention_mask"] = features["attention_mask"]
    made = model.model.generate(**inputs, do_sample=False, max_new_tokens=count, **options)
    tokens = made[0, len(prompt.ids) :].tolist()
    end = next((i for i, token in enumerate(tokens) if token in model.ends), None)
    return tokens[:end]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_tokens_are_those_of_generate(model, name):
    prompt = build(model, CONVERSATIONS[name])
    assert run(Runner(model), prompt, ends=model.ends) == stock(model, prompt)


def test_a_repetition_penalty_covers_prompt_and_answer_as_in_generate(model):
    prompt = build(model, CONVERSATIONS["analysis"])
    sampling = Sampling(temperature=0.0, repetition_penalty=1.4)
    got = run(Runner(model), prompt, sampling, ends=model.ends)
    assert got == stock(model, prompt, repetition_penalty=1.4)
    assert got != run(Runner(model), prompt, ends=model.ends)


@pytest.mark.parametrize(
    "sampling",
    [GREEDY, Sampling(temperature=1.5, top_k=0, top_p=0.95, repetition_penalty=1.2, seed=5)],
    ids=["greedy", "sampled"],
)
def test_an_answer_resumed_anywhere_goes_on_as_it_would_have(model, sampling):
    prompt = build(model, CONVERSATIONS["two turns"])
    runner = Runner(model)
    whole = run(runner, prompt, sampling, count=24)
    assert len(whole) == 24
    for cut in (1, 2, 7, 23):
        assert run(runner, prompt, sampling, whole[:cut], count=24) == whole


def test_answers_side_by_side_do_not_mix(model):
    runner = Runner(model)
    prompts = [build(model, turns) for turns in CONVERSATIONS.values()]
    alone = [run(runner, prompt, count=12) for prompt in prompts]
    together = [[runner.prefill(i, prompt, GREEDY, ())] for i, prompt in enumerate(prompts)]
    for _ in range(11):
        for i, token in enumerate(runner.decode(tuple(range(len(prompts))))):
            together[i].append(token)
    assert together == alone


def test_seeds_differ_and_repeat(loaded):
    prompt = build(loaded, CONVERSATIONS["text only"])
    runner = Runner(loaded)

    def drawn(seed):
        return run(runner, prompt, Sampling(temperature=2.0, top_k=0, seed=seed), count=12)

    assert drawn(1) == drawn(1) != drawn(2)


def test_audio_is_encoded_once_and_forgotten_beyond_the_budget(loaded):
    clips = [Clip(f"b{i}", tiny_model.speechlike(1.0, i)) for i in range(3)]
    runner = Runner(loaded)
    first = runner.embed(clips)
    assert all(a is b for a, b in zip(runner.embed(clips), first, strict=True))

    size = first[0].numel() * first[0].element_size()
    small = Runner(loaded, embedding_bytes=2 * size)
    assert len(small.embed(clips)) == 3
    assert list(small.embedded) == ["b1", "b2"]
    small.embed(clips[1:2])
    small.embed(clips[:1])
    assert list(small.embedded) == ["b1", "b0"]


def test_a_freed_answer_holds_nothing(loaded):
    runner = Runner(loaded)
    runner.prefill(7, build(loaded, CONVERSATIONS["text only"]), GREEDY, ())
    runner.free(7)
    runner.free(7)
    assert not runner.sequences


def test_warming_up_leaves_nothing_behind_and_changes_no_answer(loaded):
    prompt = build(loaded, CONVERSATIONS["voice chat"])
    cold, warm = Runner(loaded), Runner(loaded)
    warm.warm_up()
    assert not warm.sequences
    assert not warm.embedded
    assert run(warm, prompt) == run(cold, prompt)


def test_a_model_that_computes_nonsense_fails_the_answer(tmp_path):
    broken = load(str(tiny_model.save(tmp_path)))
    with torch.no_grad():
        broken.model.lm_head.weight[3] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        Runner(broken).warm_up()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_fails_one_answer(error):
    with pytest.raises(EngineError, match="out of memory"), explained():
        raise error


def test_a_broken_device_ends_the_process():
    with pytest.raises(SystemExit, match="device is broken"), explained():
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_bug_stays_a_bug():
    with pytest.raises(RuntimeError, match="shape"), explained():
        raise RuntimeError("shape")
