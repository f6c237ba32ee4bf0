"""Checkpoints load as stock transformers saves them; what cannot be loaded is told plainly."""

from __future__ import annotations

import json
import shutil

import pytest
import tiny_model
import torch
from safetensors.torch import load_file, save_file

from realtime.engine.model import load as model_module
from realtime.engine.model.load import (
    check_weights,
    choose_device,
    choose_dtype,
    load,
    streaming,
)
from realtime.engine.model.prompt import Prompts
from realtime.engine.model.sampling import Choice
from realtime.errors import ModelError


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A checkpoint of one's own, to be spoilt."""
    return shutil.copytree(checkpoint, tmp_path / "copy")


def weights(folder, change) -> None:
    """Change the weights of a checkpoint on disk."""
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def test_what_was_loaded(loaded, checkpoint):
    info = loaded.info
    assert (info.name, info.context, info.dtype, info.device) == (
        checkpoint.name,
        2048,
        "float32",
        "cpu",
    )
    assert info.parameters == sum(p.numel() for p in loaded.model.parameters())
    assert not loaded.model.training


def test_progress_goes_up_to_the_end(checkpoint):
    told = []
    load(str(checkpoint), progress=lambda stage, fraction: told.append((stage, fraction)))
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert {stage for stage, _ in told} == {"checkpoint", "processor", "weights", "device"}
    assert 5 < len(told) < 150


def test_a_bfloat16_checkpoint_is_float32_on_a_cpu_unless_asked(tmp_path):
    tiny_model.save(tmp_path, tiny_model.Tiny(dtype=torch.bfloat16))
    assert load(str(tmp_path), device="cpu").info.dtype == "float32"
    assert load(str(tmp_path), device="cpu", dtype="bfloat16").info.dtype == "bfloat16"


def test_the_default_choice_is_that_of_the_generation_config(tmp_path, loaded):
    assert loaded.choice == Choice(0.0, 50, 1.0, 1.0, 0)
    tiny_model.save(
        tmp_path,
        do_sample=True,
        repetition_penalty=1.1,
        temperature=0.7,
        top_k=20,
        top_p=0.5,
        eos_token_id=[5, 7],
    )
    sampled = load(str(tmp_path))
    assert sampled.choice == Choice(0.7, 20, 0.5, 1.1, 0)
    turn_end = sampled.processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert sampled.ends == {5, 7, turn_end}


def test_a_checkpoint_without_end_tokens_ends_with_the_turn(tmp_path):
    tiny_model.save(tmp_path, eos_token_id=None)
    bare = load(str(tmp_path))
    assert bare.ends == {bare.processor.tokenizer.convert_tokens_to_ids("<|im_end|>")}


def test_a_hub_id_that_cannot_be_fetched(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="nobody/nothing cannot be loaded"):
        load("nobody/nothing")


def test_missing_weights_are_counted_and_named(copy):
    def drop(tensors):
        for name in [n for n in tensors if "q_proj" in n]:
            del tensors[name]

    weights(copy, drop)
    with pytest.raises(ModelError, match=r"8 missing \(.*q_proj\.bias.*, \.\.\.\)"):
        load(str(copy))


def test_unexpected_weights_are_counted_and_named(copy):
    weights(copy, lambda tensors: tensors.update({"extra.weight": torch.zeros(1)}))
    with pytest.raises(ModelError, match=r"1 unexpected \(extra\.weight\)"):
        load(str(copy))


def test_weights_that_are_computed_anyway_do_no_harm():
    harmless = {"missing_keys": [], "unexpected_keys": ["layers.0.rotary_emb.inv_freq"]}
    check_weights("m", harmless)


def test_weights_of_another_shape(copy):
    def cut(tensors):
        name = next(n for n in tensors if n.endswith("conv1.weight"))
        tensors[name] = tensors[name][:, :4].clone()

    weights(copy, cut)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(copy))


def test_a_truncated_file_of_weights(copy):
    (file,) = copy.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(copy))


def test_no_weights_at_all(copy):
    for file in copy.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(copy))


def test_no_tokenizer(copy):
    for file in copy.glob("tokenizer*"):
        file.unlink()
    # transformers makes up an empty tokenizer.
    with pytest.raises(ModelError, match="the tokenizer lacks"):
        Prompts(load(str(copy)).processor, 100)


def test_a_tokenizer_of_another_model(copy):
    tiny_model.processor(600).save_pretrained(copy)
    with pytest.raises(ModelError, match=r"has \d+ tokens, the model knows \d+"):
        load(str(copy))


def test_another_sample_rate(copy):
    file = copy / "processor_config.json"
    settings = json.loads(file.read_text())
    settings["feature_extractor"]["sampling_rate"] = 16_001
    file.write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="16001 Hz"):
        load(str(copy))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 16 GiB"),
        MemoryError("no"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_is_named(checkpoint, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(model_module, "_from_pretrained", fail)
    with pytest.raises(ModelError, match="out of memory while loading"):
        load(str(checkpoint))


def test_the_device_is_claimed_before_anything_is_asked_of_it_or_loaded(checkpoint, monkeypatch):
    asked = []

    def note(name, answer=None):
        def call(*given, **more):
            asked.append(name)
            return answer

        return call

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: asked.append(str(device)))
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", note("cudnn"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", note("bfloat16", True))

    def refuse(source, dtype, attention, place):
        asked.append(f"load {dtype} on {place}")
        raise ModelError("enough")

    monkeypatch.setattr(model_module, "_from_pretrained", refuse)
    with pytest.raises(ModelError, match="enough"):
        load(str(checkpoint), device="cuda:1")
    assert asked == ["cuda:1", "cudnn", "bfloat16", "load torch.bfloat16 on cuda:1"]


@pytest.mark.parametrize(
    ("device", "there", "options"),
    [
        ("cpu", True, {}),
        ("cuda:1", True, {"device_map": {"": "cuda:1"}}),
        ("cuda", True, {"device_map": {"": "cuda:0"}}),
        ("cuda", False, {}),
    ],
)
def test_weights_go_to_a_gpu_as_they_are_read(monkeypatch, capsys, device, there, options):
    monkeypatch.setattr(model_module, "is_accelerate_available", lambda: there)
    assert streaming(torch.device(device)) == options
    assert ("pip install accelerate" in capsys.readouterr().err) is not there


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "mps"])
def test_devices_that_are_none_are_refused(device):
    with pytest.raises(ModelError, match="the device must be"):
        choose_device(device)


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(ModelError, match="no device cuda:99 here"):
        choose_device("cuda:99")


def test_an_attention_that_is_none_is_refused(checkpoint):
    allowed = "the attention must be sdpa, eager, flash_attention_2, not 'flex'"
    with pytest.raises(ModelError, match=allowed):
        load(str(checkpoint), attention="flex")


def test_flash_attention_on_a_cpu_is_refused_before_anything_is_loaded(checkpoint):
    told = []
    with pytest.raises(ModelError, match="flash_attention_2 runs on CUDA only, not on cpu"):
        load(
            str(checkpoint),
            device="cpu",
            attention="flash_attention_2",
            progress=lambda stage, fraction: told.append(stage),
        )
    assert told == ["checkpoint"]


@pytest.mark.parametrize(
    ("device", "able", "dtype"),
    [
        ("cpu", True, torch.float32),
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float16),
    ],
)
def test_the_dtype_is_what_the_device_computes_best(monkeypatch, device, able, dtype):
    def supported(*, including_emulation):
        return including_emulation or able

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_dtype("auto", torch.device(device)) == dtype
    assert choose_dtype("float32", torch.device(device)) == torch.float32


def test_a_dtype_that_is_none_is_refused():
    with pytest.raises(ModelError, match="the dtype must be"):
        choose_dtype("int3", torch.device("cpu"))
