"""Numbers arrive as they are; on a CPU nothing is copied that need not be."""

from __future__ import annotations

import torch

from realtime.engine.model.transfer import claim, fetch, pinned, send

CPU = torch.device("cpu")


def test_numbers_arrive_with_their_kind():
    assert send([1, 2], CPU).equal(torch.tensor([1, 2]))
    assert send([0.1], CPU, torch.float64).equal(torch.tensor([0.1], dtype=torch.float64))
    assert send([[0], [3]], CPU, torch.int32).dtype == torch.int32


def test_on_a_cpu_tensors_stay_where_they_are():
    held = torch.arange(3)
    claim(CPU)
    assert send(held, CPU) is pinned(held, CPU) is fetch(held) is held


def test_cudnn_which_plans_for_every_shape_does_not_attend(monkeypatch):
    done = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: done.append(str(device)))
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", done.append)
    claim(CPU)
    assert done == []
    claim(torch.device("cuda:1"))
    assert done == ["cuda:1", False]
