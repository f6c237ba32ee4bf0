"""The runner's tokens are those of `generate()`, wherever an answer is resumed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import tiny_model
import torch
from engine.bed import CONVERSATIONS, GREEDY, MODELS, Bed, build, run, stock

from realtime.engine.api import AssistantTurn, Clip, Sampling, SystemTurn, UserTurn
from realtime.engine.model.kv_cache import FP8
from realtime.engine.model.load import load
from realtime.engine.model.runner import Runner, explained
from realtime.engine.steps import Part, Sampled, Sequence
from realtime.errors import EngineError, ModelError


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return load(str(tiny_model.save(folder, MODELS[request.param])), device="cpu")


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_tokens_are_those_of_generate(model, name):
    prompt = build(model, CONVERSATIONS[name])
    assert run(model, prompt) == stock(model, prompt)


def test_prompts_read_in_small_pieces_give_the_same_tokens(model):
    prompt = build(model, CONVERSATIONS["analysis"])
    expected = stock(model, prompt)
    for chunk in (1, 7, 40):
        assert run(model, prompt, chunk=chunk) == expected


def test_a_repetition_penalty_covers_prompt_and_answer_as_in_generate(model):
    prompt = build(model, CONVERSATIONS["analysis"])
    sampling = Sampling(temperature=0.0, repetition_penalty=1.4)
    got = run(model, prompt, sampling)
    assert got == stock(model, prompt, repetition_penalty=1.4)
    assert got != run(model, prompt)


@pytest.mark.parametrize(
    "sampling",
    [GREEDY, Sampling(temperature=1.5, top_k=0, top_p=0.95, repetition_penalty=1.2, seed=5)],
    ids=["greedy", "sampled"],
)
def test_an_answer_resumed_anywhere_goes_on_as_it_would_have(model, sampling):
    prompt = build(model, CONVERSATIONS["two turns"])
    whole = run(model, prompt, sampling, count=24)
    for cut in (1, 2, 7, 23):
        if cut < len(whole):
            assert run(model, prompt, sampling, whole[:cut], count=24) == whole


@pytest.mark.parametrize("gather", [False, True])
def test_answers_that_arrive_and_end_at_different_times_are_those_of_generate(model, gather):
    random = np.random.default_rng(3)
    bed = Bed(model, gather=gather, slots=5, chunk=48)
    expected = {}
    for serial in range(14):
        clip = Clip(f"m{serial}", tiny_model.speechlike(random.uniform(0.3, 4), serial))
        text = ("", "What is this?", "hello " * 9)[serial % 3]
        prompt = build(model, (UserTurn((clip, text) if text else (clip,)),))
        count = int(random.integers(1, 30))
        bed.ask(serial, prompt, count=count)
        expected[serial] = stock(model, prompt, count)
        for _ in range(random.integers(0, 5)):
            bed.step()
    assert bed.finish() == expected
    assert max(bed.widths) == 5


def test_a_conversation_with_barge_in_and_dropped_guesses_is_that_of_generate(model):
    """Every turn is computed from what the ones before it left, and held against none of it."""
    bed = Bed(model, slots=3, chunk=32)
    turns: list = [SystemTurn("Be brief.")]
    for turn in range(4):
        clip = Clip(f"t{turn}", tiny_model.speechlike(0.7 + 0.3 * turn, turn))
        guess = Clip(f"g{turn}", clip.pcm[:8000])
        bed.ask(3 * turn, build(model, (*turns, UserTurn((guess,)))), conversation="c", low=True)
        for _ in range(turn):
            bed.step()
        bed.scheduler.cancel(3 * turn)
        bed.runner.free(3 * turn)

        turns.append(UserTurn((clip, "Go on.")))
        prompt = build(model, turns)
        expected = stock(model, prompt, 12)
        # Somebody else talks all the time.
        other = build(model, (UserTurn((guess, "And this?")),))
        bed.ask(3 * turn + 1, other, count=9)
        bed.ask(3 * turn + 2, prompt, count=12, conversation="c")
        bed.step()
        cached = bed.scheduler.running[3 * turn + 2].cached
        bed.finish()
        assert bed.said[3 * turn + 2] == expected
        assert bed.said[3 * turn + 1] == stock(model, other, 9)
        shared = len(build(model, turns[:-1]).ids) if turn else 0
        assert cached >= shared - 4
        delivered = expected[: max(1, len(expected) // 2)]
        turns.append(AssistantTurn(tuple(delivered)))


def test_answers_that_make_room_for_others_go_on_as_they_would_have(model):
    prompts = [build(model, turns) for turns in CONVERSATIONS.values()]
    cells = (max(len(p.ids) for p in prompts) + 64) // 8 * 8
    bed = Bed(model, slots=3, chunk=16, cells=cells, block=8)
    for serial, prompt in enumerate(prompts):
        bed.ask(serial, prompt, count=20, low=serial % 2 == 0)
        bed.step()
        bed.step()
    expected = {serial: stock(model, prompt, 20) for serial, prompt in enumerate(prompts)}
    assert bed.finish() == expected


def test_eager_attention_gives_the_same_tokens(tmp_path):
    folder = str(tiny_model.save(tmp_path, MODELS["gqa"]))
    fused, eager = load(folder), load(folder, attention="eager")
    prompt = build(fused, CONVERSATIONS["two turns"])
    assert Runner(eager, cells=64).eager
    assert run(eager, prompt, chunk=20) == run(fused, prompt) == stock(eager, prompt)


def test_in_bfloat16_scores_stay_near_those_of_a_plain_pass(endless):
    half = load(str(endless), dtype="bfloat16")
    prompt = build(half, CONVERSATIONS["two turns"])
    spoken = stock(half, prompt, 20)
    whole = build(
        half, (*CONVERSATIONS["two turns"], AssistantTurn(tuple(spoken)), UserTurn(("x",)))
    )
    runner = Runner(half, cells=1024)
    runner.begin(Sequence(1, whole, GREEDY))
    runner.begin(Sequence(2, whole, GREEDY))
    size = len(whole.ids)
    with torch.inference_mode():
        embeds = runner._embed((Part(1, 0, size, 0, False),))[None]
        expected = half.model.model.language_model(inputs_embeds=embeds).last_hidden_state[0]
        full = half.model.lm_head(expected).float()
        # In pieces, beside another answer, at other cells, as it would be said.
        got = []
        cuts = [0, 30, 31, 77, *range(78, size), size]
        for start, stop in pairwise(cuts):
            parts = (Part(2, start, stop, 640, False), Part(1, start, stop, 64, False))
            got.append(runner._forward(parts)[: stop - start])
        scores = half.model.lm_head(torch.cat(got)).float()
    # The same numbers in another order of additions, rounded to 8 bits.
    error = (scores - full).abs().max() / full.std()
    assert error < 0.15, error


def test_keys_and_values_in_fp8_leave_scores_near(request):
    """On weights that learnt something: the bundled model's."""
    demo = load(str(request.config.rootpath / "realtime" / "demo_model"), device="cpu")
    prompt = build(demo, CONVERSATIONS["two turns"])
    size = len(prompt.ids)
    scores = []
    for kv_dtype in (None, FP8):
        runner = Runner(demo, cells=1024, kv_dtype=kv_dtype)
        runner.begin(Sequence(1, prompt, GREEDY))
        with torch.inference_mode():
            pieces = [
                runner._forward((Part(1, start, min(start + 7, size), 64, False),))
                for start in range(0, size, 7)
            ]
            scores.append(demo.model.lm_head(torch.cat(pieces)))
    exact, rough = scores
    assert 0 < (rough - exact).abs().max() / exact.std() < 0.2
    assert (rough - exact).square().mean().sqrt() / exact.std() < 0.05
    assert (rough.argmax(-1) == exact.argmax(-1)).float().mean() > 0.9


@pytest.mark.parametrize("gather", [False, True])
def test_answers_in_fp8_are_the_same_alone_and_together(loaded, gather):
    prompts = [build(loaded, turns) for turns in CONVERSATIONS.values()]

    def said(asked):
        bed = Bed(loaded, gather=gather)
        bed.runner = Runner(loaded, cells=1 << 14, gather=gather, kv_dtype=FP8)
        for serial, prompt in asked:
            bed.ask(serial, prompt, count=12)
        return bed.finish()

    together = said(enumerate(prompts))
    assert together == {i: said([(i, prompt)])[i] for i, prompt in enumerate(prompts)}


def test_the_model_can_be_used_otherwise_at_the_same_time(loaded):
    before = loaded.model.config.text_config._attn_implementation
    run(loaded, build(loaded, CONVERSATIONS["text only"]), count=3)
    assert loaded.model.config.text_config._attn_implementation == before == "sdpa"


def test_seeds_differ_and_repeat(loaded):
    prompt = build(loaded, CONVERSATIONS["text only"])

    def drawn(seed):
        return run(loaded, prompt, Sampling(temperature=2.0, top_k=0, seed=seed), count=12)

    assert drawn(1) == drawn(1) != drawn(2)


def test_answers_are_drawn_the_same_alone_and_together(loaded):
    prompt = build(loaded, CONVERSATIONS["voice chat"])
    samplings = [
        GREEDY,
        Sampling(temperature=1.0, top_k=5, seed=1),
        Sampling(temperature=2.0, top_k=0, top_p=0.9, seed=2),
        Sampling(temperature=0.7, top_k=20, repetition_penalty=1.3, seed=3),
    ]
    bed = Bed(loaded)
    for serial, sampling in enumerate(samplings):
        bed.ask(serial, prompt, sampling, count=15)
    alone = {i: run(loaded, prompt, sampling, count=15) for i, sampling in enumerate(samplings)}
    assert bed.finish() == alone


def test_logprobs_are_those_of_the_scores_of_generate(loaded):
    prompt = build(loaded, CONVERSATIONS["text only"])
    bed = Bed(loaded)
    bed.ask(1, prompt, Sampling(temperature=0.0, logprobs=3), count=4)
    (tokens,) = bed.finish().values()
    with torch.inference_mode():
        made = loaded.model.generate(
            input_ids=torch.tensor([prompt.ids]),
            do_sample=False,
            max_new_tokens=4,
            output_logits=True,
            return_dict_in_generate=True,
        )
    for token, got, logits in zip(tokens, bed.logprobs, made.logits, strict=False):
        expected = logits[0].log_softmax(-1)
        assert got.token == token == got.top[0][0]
        assert got.logprob == pytest.approx(float(expected[token]), abs=1e-4)
        assert [p for _, p in got.top] == pytest.approx(expected.topk(3).values.tolist(), abs=1e-4)


def test_warming_up_leaves_nothing_behind_and_changes_no_answer(loaded):
    prompt = build(loaded, CONVERSATIONS["voice chat"])
    bed = Bed(loaded)
    bed.runner.warm_up()
    assert not bed.runner.sequences
    assert not bed.runner.choices
    assert not bed.runner.embeddings.kept
    bed.ask(1, prompt)
    assert bed.finish()[1] == run(loaded, prompt)


def test_what_is_not_finite_fails_its_answer_alone(loaded):
    bed = Bed(loaded)
    for serial in (1, 2):
        bed.ask(serial, build(loaded, CONVERSATIONS["text only"]))
    bed.step()
    allocation = bed.scheduler.running[2].allocation
    bed.runner.kv.arenas[0].values[:, allocation.start] = float("nan")
    parts = bed.scheduler.next().parts
    said = bed.runner.run(parts)
    assert isinstance(said[1], Sampled)
    assert isinstance(said[2], EngineError)


def test_a_model_that_computes_nonsense_fails_the_answer(tmp_path):
    broken = load(str(tiny_model.save(tmp_path)))
    with torch.no_grad():
        broken.model.lm_head.weight[3] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        Runner(broken, cells=64).warm_up()


def test_a_model_that_does_not_see_everything_is_refused(loaded, monkeypatch):
    text = loaded.model.config.text_config
    monkeypatch.setattr(text, "layer_types", ["full_attention", "sliding_attention"])
    with pytest.raises(ModelError, match="sliding"):
        Runner(loaded, cells=64)


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
