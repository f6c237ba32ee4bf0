"""Each segment of a row sees its own cells and nothing else, however it is computed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from realtime.engine.model.kv_cache import (
    FP8,
    KeyValues,
    attend,
    cell_bytes,
    narrowed,
    row_of,
    widened,
)
from realtime.engine.steps import Move

CPU = torch.device("cpu")
SHAPE = SimpleNamespace(
    num_hidden_layers=2, num_key_value_heads=2, num_attention_heads=4, hidden_size=32
)
SPANS = [(64, 9, 10), (0, 33, 34), (160, 0, 1), (192, 5, 12), (256, 0, 7), (100, 2, 3)]
"""Base, start, stop: three answers that talk, then two that are read, then a single position."""


def filled() -> KeyValues:
    """Cells of which only those that some span uses hold numbers."""
    kv = KeyValues(SHAPE, 320, dtype=torch.float32, device=CPU)
    generator = torch.Generator().manual_seed(0)
    for layer in kv.arenas:
        for held in (layer.keys, layer.values):
            held.fill_(float("nan"))
            for base, _, stop in SPANS:
                held[:, base : base + stop] = torch.randn(2, stop, 8, generator=generator)
    return kv


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("gather", [False, True])
def test_a_row_attends_as_each_of_its_segments_alone(gather, eager):
    kv = filled()
    layer = kv.arenas[0]
    row = row_of(SPANS, CPU, gather=gather)
    assert (row.gathered is not None) == gather
    total = sum(stop - start for _, start, stop in SPANS)
    query = torch.randn(1, 4, total, 8, generator=torch.Generator().manual_seed(1))
    got, _ = attend(None, query, layer.keys, layer.values, None, scaling=0.3, row=row, eager=eager)
    assert got.shape == (1, total, 4, 8)
    at = 0
    for base, start, stop in SPANS:
        count = stop - start
        keys = layer.keys[:, base : base + stop].repeat_interleave(2, 0)[None]
        values = layer.values[:, base : base + stop].repeat_interleave(2, 0)[None]
        mask = torch.ones(count, stop, dtype=torch.bool).tril(start)
        expected = F.scaled_dot_product_attention(
            query[:, :, at : at + count], keys, values, mask, scale=0.3
        )
        torch.testing.assert_close(got[0, at : at + count], expected[0].transpose(0, 1))
        at += count


def test_a_row_names_cells_and_positions():
    row = row_of([(64, 9, 10), (192, 5, 8)], CPU)
    assert row.cells.tolist() == [73, 197, 198, 199]
    assert row.positions.tolist() == [[9, 5, 6, 7]]


def test_new_keys_and_values_go_into_their_cells():
    kv = filled()
    kv.cells = torch.tensor([300, 7])
    keys, values = torch.randn(1, 2, 2, 8), torch.randn(1, 2, 2, 8)
    all_keys, all_values = kv.update(keys, values, 1)
    assert all_keys is kv.arenas[1].keys
    assert torch.equal(all_keys[:, [300, 7]], keys[0])
    assert torch.equal(all_values[:, [300, 7]], values[0])
    assert torch.isnan(kv.arenas[0].keys[:, 300]).all()


@pytest.mark.parametrize("target", [60, 70, 250])
def test_cells_move_also_where_they_overlap(target):
    kv = filled()
    before = [layer.values[:, 64:74].clone() for layer in kv.arenas]
    kv.move([Move(64, target, 10)])
    for layer, held in zip(kv.arenas, before, strict=True):
        assert torch.equal(layer.values[:, target : target + 10], held)


def test_fp8_keeps_numbers_within_a_sixteenth_in_a_quarter_of_the_bytes():
    kv = KeyValues(SHAPE, 128, dtype=FP8, device=CPU)
    kv.cells = torch.tensor([5, 9])
    given = torch.randn(1, 2, 2, 8, generator=torch.Generator().manual_seed(0))
    keys, values = kv.update(given, 100 * given, 0)
    for held, exact in ((keys, given), (values, 100 * given)):
        got = widened(held[:, [5, 9]], torch.float32)
        assert ((got - exact[0]).abs() <= exact[0].abs() / 16 + 2**-10).all()
    assert 4 * cell_bytes(SHAPE, FP8) == cell_bytes(SHAPE, torch.float32)
    before = keys[:, 9].clone()
    kv.move([Move(5, 6, 5)])
    assert torch.equal(keys[:, 10], before)


def test_what_fp8_has_no_number_for_becomes_its_largest():
    kept = narrowed(torch.tensor([1e4, -1e4, 448.0, float("nan")]), torch.uint8)
    got = widened(kept, torch.bfloat16)
    assert got[:3].tolist() == [448, -448, 448]
    assert got[3].isnan()


@pytest.mark.parametrize("gather", [False, True])
def test_a_row_attends_to_what_fp8_kept(gather):
    kv, exact = KeyValues(SHAPE, 320, dtype=FP8, device=CPU), filled()
    for layer, other in zip(kv.arenas, exact.arenas, strict=True):
        layer.keys.copy_(narrowed(other.keys, torch.uint8))
        layer.values.copy_(narrowed(other.values, torch.uint8))
    query = torch.randn(1, 4, 17, 8, generator=torch.Generator().manual_seed(1))
    row = row_of(SPANS, CPU, gather=gather)
    held = kv.arenas[0]
    got, _ = attend(None, query, held.keys, held.values, None, scaling=0.3, row=row)
    same = [widened(part, torch.float32) for part in (held.keys, held.values)]
    expected, _ = attend(None, query, *same, None, scaling=0.3, row=row)
    assert torch.equal(got, expected)
