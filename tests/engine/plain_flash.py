"""What flash_attn_varlen_func computes, in plain torch: what `engine.flash` counts on."""

from __future__ import annotations

import torch


def varlen(
    query,
    key,
    value,
    cu_query,
    cu_key,
    longest_query,
    longest_key,
    *,
    softmax_scale,
    causal,
):
    """query [total, heads, size]; key, value [total, shared heads, size]; offsets [batch + 1]."""
    assert cu_query.dtype == cu_key.dtype == torch.int32
    assert cu_query.shape == cu_key.shape
    assert cu_query.is_contiguous()
    assert cu_key.is_contiguous()
    assert query.stride(-1) == key.stride(-1) == value.stride(-1) == 1
    assert causal
    lengths = cu_query.diff()
    # With a longest query of 1 and shared heads the real kernel wants one query per sequence.
    assert longest_query > 1 or bool((lengths == 1).all())
    made = torch.zeros_like(query)
    groups = query.shape[1] // key.shape[1]
    for i in range(len(cu_query) - 1):
        first, last = int(cu_query[i]), int(cu_query[i + 1])
        start, stop = int(cu_key[i]), int(cu_key[i + 1])
        assert stop >= start
        if first == last:
            continue
        assert last - first <= longest_query
        assert stop - start <= longest_key
        keys = key[start:stop].repeat_interleave(groups, 1).float()
        values = value[start:stop].repeat_interleave(groups, 1).float()
        scores = torch.einsum("qhd,khd->hqk", query[first:last].float(), keys) * softmax_scale
        seen = torch.ones(last - first, stop - start, dtype=torch.bool)
        seen = seen.tril(stop - start - (last - first))
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        made[first:last] = torch.einsum("hqk,khd->qhd", weights, values).to(query.dtype)
    return made
