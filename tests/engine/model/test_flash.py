"""Flash attention's offsets name the right cells; where it cannot run, what is missing is named."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from engine import plain_flash

from realtime.engine.model import flash
from realtime.engine.model.build import attending_kernel
from realtime.engine.model.kv_cache import attend, row_of
from realtime.errors import ModelError

CPU = torch.device("cpu")
SPANS = [(0, 33, 34), (64, 9, 10), (100, 2, 3), (160, 0, 1), (192, 5, 12), (256, 0, 7)]
SHAPE = SimpleNamespace(num_attention_heads=4, num_key_value_heads=2, hidden_size=32)


def test_a_packed_row_attends_as_a_plain_one():
    draw = torch.Generator().manual_seed(0)
    key, value = (torch.randn(2, 320, 8, generator=draw) for _ in range(2))
    query = torch.randn(1, 4, sum(stop - start for _, start, stop in SPANS), 8, generator=draw)
    plain, packed = row_of(SPANS, CPU), row_of(SPANS, CPU, kernel=plain_flash.varlen)
    assert packed.cells.equal(plain.cells)
    assert packed.positions.equal(plain.positions)
    assert packed.segments == ()
    expected, _ = attend(None, query, key, value, None, scaling=0.3, row=plain)
    got, _ = attend(None, query, key, value, None, scaling=0.3, row=packed)
    torch.testing.assert_close(got, expected)


def test_cells_between_segments_belong_to_sequences_without_queries():
    packed = flash.pack([(64, 9, 10), (192, 5, 8)], CPU, plain_flash.varlen)
    assert packed.queries.tolist() == [0, 1, 1, 4]
    assert packed.keys.tolist() == [64, 74, 192, 200]
    assert (packed.longest_query, packed.longest_key) == (3, 10)


def test_segments_out_of_order_are_a_bug():
    with pytest.raises(AssertionError, match="order of their cells"):
        flash.pack([(64, 0, 1), (0, 0, 1)], CPU, plain_flash.varlen)


def test_a_kernel_that_computes_the_same_is_taken():
    kernel = plain_flash.varlen
    assert flash.checked(kernel, SHAPE, torch.bfloat16, CPU) is kernel


def test_a_kernel_that_aligns_its_mask_otherwise_is_refused():
    def top_left(*given, **more):
        return plain_flash.varlen(*given, **more).flip(0)

    with pytest.raises(ModelError, match=r"computes something else here .*use sdpa"):
        flash.checked(top_left, SHAPE, torch.bfloat16, CPU)


def test_a_kernel_that_gives_nonsense_is_refused():
    def nonsense(query, *_, **__):
        return query * float("nan")

    with pytest.raises(ModelError, match="off by nan"):
        flash.checked(nonsense, SHAPE, torch.float16, CPU)


def test_a_kernel_that_fails_is_refused():
    def fail(*_, **__):
        raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")

    with pytest.raises(ModelError, match=r"does not work here .*Ampere.*: use sdpa"):
        flash.checked(fail, SHAPE, torch.float16, CPU)


def test_heads_that_the_kernel_has_no_code_for_are_refused():
    shape = SimpleNamespace(num_attention_heads=4, num_key_value_heads=4, hidden_size=48)
    with pytest.raises(ModelError, match="multiple of 8 up to 256, not 12"):
        flash.checked(plain_flash.varlen, shape, torch.float16, CPU)


@pytest.mark.parametrize(
    ("device", "dtype", "reason"),
    [
        ("cpu", torch.bfloat16, "runs on CUDA only, not on cpu"),
        ("cuda", torch.float32, "bfloat16 or float16, not float32"),
    ],
)
def test_where_it_cannot_run_is_named(device, dtype, reason):
    with pytest.raises(ModelError, match=reason):
        flash.refuse(torch.device(device), dtype)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(ModelError, match=r"needs the package flash-attn 2.*pip install flash-attn"):
        flash.refuse(torch.device("cuda"), torch.bfloat16)


def test_an_older_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", ModuleType("flash_attn"))
    with pytest.raises(ModelError, match="flash_attn_varlen_func"):
        flash.find()


def test_the_package_is_found(monkeypatch):
    package = ModuleType("flash_attn")
    package.flash_attn_varlen_func = plain_flash.varlen
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    assert flash.find() is plain_flash.varlen
    flash.refuse(torch.device("cuda"), torch.bfloat16)


def test_keys_and_values_in_fp8_are_not_for_it(loaded):
    with pytest.raises(ModelError, match="cannot read keys and values in fp8"):
        attending_kernel(loaded, flash.NAME, "fp8")
    with pytest.raises(ModelError, match="kv-dtype must be auto or fp8, not 'int4'"):
        attending_kernel(loaded, "sdpa", "int4")
    with pytest.raises(ModelError, match="CUDA only"):
        attending_kernel(loaded, flash.NAME, "auto")
